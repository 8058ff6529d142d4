"""The first page adds up what each invoice's own page says, and every number leads to its rows."""

import html
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.utils import timezone

from billing.admin.due import overdue_offices
from billing.billing_run import run_due
from billing.corrections import approve_correction
from billing.estimates import Count
from billing.models import BillingRun, Correction, CorrectionKind, Invoice, StripeEvent
from billing.money_overview import Age, month_figures, owed_by_age, remembered_figures
from billing.payment_state import money_of
from billing.run_chunk import due_offices
from offices.models import Office
from tests.billing.admin.conftest import list_address, permit
from tests.billing.correction_scenes import States, ask, corrected
from tests.billing.scenes import CLOSED_AT, SharedClock, due_office

pytestmark = pytest.mark.django_db

KEY = "2026-02"


@pytest.fixture
def states(stripe):
    return States(stripe, SharedClock(CLOSED_AT, stripe))


@pytest.fixture
def mixed(states) -> list[Invoice]:
    """An invoice in each state that owes something, or nothing any more."""
    names = ("sent", "failed", "partly_paid", "written_off", "paid", "paid_by_check", "canceled")
    made = [getattr(states, name)() for name in names]
    credited = states.sent()
    corrected(credited, CorrectionKind.CREDIT, states.clock)
    return [*made, credited, states.unsent()]


@pytest.fixture(autouse=True)
def soon():
    with time_machine.travel(CLOSED_AT + timedelta(days=2), tick=True):
        yield


def owed_one_by_one():
    invoices = Invoice.objects.filter(status__in=["sent", "failed"])
    return sum(each.due for each in money_of(invoices).values())


def test_what_is_owed_is_the_sum_of_what_each_invoice_owes(mixed):
    owed = owed_by_age(timezone.now())
    assert sum(each.cents.get("USD", 0) for each in owed.values()) == owed_one_by_one() == 400 + 400 + 250 + 300
    assert sum(each.invoices for each in owed.values()) == 4


@pytest.mark.parametrize(
    ("days", "age"),
    [(-1, Age.NOT_DUE), (0, Age.FIRST), (30, Age.FIRST), (31, Age.SECOND), (60, Age.SECOND), (61, Age.THIRD),
     (90, Age.THIRD), (91, Age.OLDEST), (1000, Age.OLDEST)],
)  # fmt: skip
def test_an_unpaid_invoice_has_the_age_of_its_due_day_and_the_list_shows_it_there(days, age, states, boss):
    invoice = states.sent()
    Invoice.objects.filter(pk=invoice.pk).update(due_at=timezone.now() - timedelta(days=days, hours=1))
    found = {each: owed.invoices for each, owed in owed_by_age(timezone.now()).items() if owed.invoices}
    assert found == {age: 1}
    for each in Age:
        listed = boss.get(list_address(Invoice), {"age": each.value}).context["cl"].queryset
        assert set(listed) == ({invoice} if each == age else set())


def test_what_is_charged_at_once_is_due_since_it_failed(states):
    states.failed()
    Invoice.objects.update(due_at=None, failed_at=timezone.now() - timedelta(days=40))
    assert owed_by_age(timezone.now())[Age.SECOND].invoices == 1


def test_a_month_shows_what_was_billed_and_what_of_it_came_in(mixed):
    figures = month_figures([KEY, "2020-01"])
    billed = [each for each in mixed if each.status != "canceled"]
    assert figures[KEY].billed == {"USD": 400 * len(billed)}
    assert figures[KEY].collected == {"USD": 400 + 400 + 150}
    assert figures[KEY].accounts == 2 * len(mixed)
    assert figures["2020-01"].billed == figures["2020-01"].collected == {}


def test_the_first_page_shows_the_money_and_how_it_moved(mixed, boss):
    page = boss.get("/admin/")
    figures = {each.title: each for each in page.context["figures"]}
    assert figures["Outstanding"].words == "13.50 USD"
    assert figures[f"Billed for {KEY}"].words == "32.00 USD"
    assert figures[f"Collected for {KEY}"].words == "9.50 USD"
    assert figures["Active patient accounts"].words == str(2 * len(mixed))
    for each in figures.values():
        assert boss.get(each.address).status_code == 200
    for table in ("Unpaid, by days since it was due", "Month over month"):
        assert table in html.unescape(page.content.decode())


def test_money_is_shown_to_who_may_see_invoices_and_payments(mixed, clerk):
    permit("clerk", "view_invoice")
    page = clerk.get("/admin/")
    assert (page.context["figures"], page.context["related_tables"]) == ([], [])
    permit("clerk", "view_invoice", "view_payment")
    assert len(clerk.get("/admin/").context["figures"]) == 3


def test_a_correction_waits_for_who_may_decide_and_did_not_ask(states, clerk):
    invoice = states.sent()
    ask(invoice, CorrectionKind.CANCEL, now=timezone.now(), actor="staff:ann")
    titles = lambda: [each.title for each in clerk.get("/admin/").context["attention"] if each.count]  # noqa: E731
    permit("clerk", "view_correction")
    assert titles() == []
    permit("clerk", "view_correction", "approve_correction")
    assert titles() == ["Corrections for you to decide"]
    assert clerk.get(list_address(Correction), {"waiting": "me"}).context["cl"].result_count == 1
    approve_correction(correction_id=Correction.objects.get().pk, actor="staff:bob", now=timezone.now())
    assert titles() == []
    ask(states.sent(), CorrectionKind.CANCEL, now=timezone.now(), actor="staff:clerk")
    assert titles() == []


# --- The chart, the statuses, what is at work and what is late ---
def test_the_chart_draws_what_the_table_says_and_each_month_leads_to_its_invoices(mixed, boss):
    page = boss.get("/admin/")
    chart = page.context["chart"]
    drawn = {group.words: group for group in chart.groups}
    words = f"{KEY}: billed 32.00 USD, collected 9.50 USD (30 %)"
    billed, collected = drawn[words].bars
    assert collected.height / billed.height == pytest.approx(9.5 / 32, abs=0.01)
    assert chart.highest == "32.00 USD"
    assert words in html.unescape(page.content.decode())
    assert {each.cycle.key for each in boss.get(drawn[words].address).context["cl"].queryset} == {KEY}
    assert all(bar.x >= 0 and bar.x + bar.width <= chart.width for group in chart.groups for bar in group.bars)


def test_without_anything_billed_nothing_is_drawn(boss):
    assert boss.get("/admin/").context["chart"] is None


def test_the_statuses_are_counted_and_lead_to_their_invoices(mixed, boss):
    ((_ages,), (statuses,)) = boss.get("/admin/").context["side_by_side"]
    for link, number in statuses.rows:
        address = html.unescape(link.split('href="')[1].split('"')[0])
        assert boss.get(address).context["cl"].result_count == int(number)
    assert sum(int(number) for _link, number in statuses.rows) == Invoice.objects.count()


def test_of_very_many_invoices_the_database_says_about_how_many(mixed, boss, monkeypatch):
    monkeypatch.setattr("billing.admin.overview.rows_of", lambda _model: Count(1_000_000, exact=False))
    ((_ages,), (statuses,)) = boss.get("/admin/").context["side_by_side"]
    (paid,) = [number for link, number in statuses.rows if "Paid" in link]
    assert paid.startswith("about 999,9")
    billed = month_figures([KEY])[KEY]
    assert boss.get("/admin/").context["chart"].highest == f"{billed.billed['USD'] / 100:.2f} USD"


def test_the_figures_of_large_books_are_remembered_for_a_while(mixed):
    keys = ["2026-03", KEY, "2026-01"]
    before = remembered_figures(keys)
    assert before == month_figures(keys)
    Invoice.objects.update(status="canceled")
    assert remembered_figures(keys) == before
    cache.clear()
    assert remembered_figures(keys)[KEY].billed == {}


def test_an_office_that_a_run_has_left_is_counted_and_listed(states, boss):
    now = timezone.now()
    due_office()
    counts = {each.title: each for each in boss.get("/admin/").context["attention"]}
    assert counts["Runs overdue"].count == overdue_offices(now).count() == 1
    assert set(boss.get(counts["Runs overdue"].address).context["cl"].queryset) == set(overdue_offices(now))
    assert set(boss.get(list_address(Office), {"due": "now"}).context["cl"].queryset) == set(due_offices(now))


def test_an_event_that_came_before_our_own_commit_is_no_trouble_yet(boss):
    now = timezone.now()
    _fresh, old, dead = (
        StripeEvent.objects.create(
            event_id=f"evt_{minutes}", event_type="invoice.paid", object_id="in_1", created=now, api_version="",
            livemode=False, digest="d", received_at=now - timedelta(minutes=minutes), next_attempt_at=now,
            status=status,
        )
        for minutes, status in ((1, "quarantined"), (60, "quarantined"), (90, "dead"))
    )  # fmt: skip
    (trouble,) = [each for each in boss.get("/admin/").context["attention"] if each.title == "Events not understood"]
    assert trouble.count == 2
    assert set(boss.get(trouble.address).context["cl"].queryset) == {old, dead}


def test_a_run_at_work_shows_how_far_it_is_and_one_that_never_ended_needs_attention(boss):
    now = timezone.now()
    fields = {"as_of": now, "actor": "x", "offices_due": 40, "offices_done": 10}
    BillingRun.objects.create(started_at=now - timedelta(minutes=5), **fields)
    page = boss.get("/admin/")
    (under_way,) = page.context["under_way"]
    assert 'value="25"' in under_way.progress
    assert "10 of 40 offices" in page.content.decode()
    assert "Runs that did not end" not in [each.title for each in page.context["attention"] if each.count]
    dead = BillingRun.objects.create(started_at=now - timedelta(hours=3), **fields)
    (trouble,) = [each for each in boss.get("/admin/").context["attention"] if each.title == "Runs that did not end"]
    assert trouble.count == 1
    assert set(boss.get(trouble.address).context["cl"].queryset) == {dead}


def test_a_billing_run_tells_how_many_offices_it_has_worked_through(states):
    due_office()
    summary = run_due(as_of=timezone.now(), actor="x", now=timezone.now())
    assert not summary.problems
    run = BillingRun.objects.order_by("-started_at", "-finished_at").first()
    assert (run.offices_due, run.offices_done) == (1, 1)
