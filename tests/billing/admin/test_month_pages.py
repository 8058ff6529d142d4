"""The close of a month in the console: what blocks it is listed with links, and two people sign."""

import html
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from billing.admin.month_signing import address_of
from billing.admin.month_steps import STEPS, WORDS
from billing.models import Correction, CorrectionKind, Discrepancy, Invoice, MonthClose, ReconciliationRun
from billing.month_close import CheckCode
from tests.billing.admin.conftest import permit
from tests.billing.correction_scenes import ask
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, delivered
from tests.builders import ACTOR, utc
from tests.database_rows import Rows
from tests.staff import logged_in, member

pytestmark = pytest.mark.django_db

LATER = CLOSED_AT + timedelta(days=2)
SIGN = "sign_month"


@pytest.fixture(autouse=True)
def two_days_later():
    with time_machine.travel(LATER, tick=True):
        yield


@pytest.fixture
def invoice(stripe) -> Invoice:
    return delivered(stripe, SharedClock(CLOSED_AT, stripe))[0]


@pytest.fixture
def key(invoice) -> str:
    return invoice.cycle.key


@pytest.fixture
def reconciled(invoice) -> None:
    ReconciliationRun.objects.create(
        actor=ACTOR,
        started_at=LATER,
        finished_at=LATER,
        phase="done",
        window_from=utc("2026-01-01"),
        window_until=LATER,
    )


@pytest.fixture
def ann(clerk) -> Client:
    permit("clerk", "view_monthclose", SIGN)
    return clerk


@pytest.fixture
def bob(db) -> Client:
    client = logged_in(member("bob"))
    permit("bob", "view_monthclose", SIGN)
    return client


def text(answer):
    return html.unescape(answer.content.decode())


def is_locked(key):
    return MonthClose.objects.filter(key=key, locked_at__isnull=False).exists()


def signing(key):
    return reverse("admin:billing_monthclose_sign", args=[key])


def sign(client, key, **changes):
    shown = client.get(signing(key)).context["form"]["seen"].value()
    return client.post(signing(key), {"seen": shown} | changes, follow=True)


def test_two_people_sign_and_the_month_is_locked(key, reconciled, ann, bob):
    page = text(ann.get(address_of(key)))
    assert "Ready for the first signature." in page
    assert "4.00 USD" in page
    assert signing(key) in page
    assert "A second person has to sign too." in text(sign(ann, key))
    assert signing(key) not in text(ann.get(address_of(key)))
    assert "Ready for the second signature" in text(bob.get(address_of(key)))
    assert "Signed and locked." in text(sign(bob, key))
    close = MonthClose.objects.get()
    assert (close.first_signed_by, close.second_signed_by) == ("staff:clerk", "staff:bob")
    page = text(bob.get(address_of(key)))
    assert "Locked." in page
    assert signing(key) not in page


def test_nobody_signs_twice(key, reconciled, ann):
    sign(ann, key)
    again = sign(ann, key)
    assert again.status_code == 409
    assert "another person" in text(again)
    assert not is_locked(key)


def test_a_locked_month_is_not_signed_again(key, reconciled, ann, bob):
    sign(ann, key)
    sign(bob, key)
    assert sign(ann, key).status_code == 409


def test_a_month_that_is_not_ready_cannot_be_signed_and_is_offered_to_nobody(key, ann):
    page = text(ann.get(address_of(key)))
    assert "Not ready" in page
    assert signing(key) not in page
    refused = sign(ann, key)
    assert refused.status_code == 409
    assert "cannot be signed yet" in text(refused)


def test_what_changed_since_it_was_shown_is_not_signed(key, reconciled, ann):
    refused = sign(ann, key, seen='{"invoices": 2}')
    assert refused.status_code == 409
    assert "changed since" in text(refused)
    assert not MonthClose.objects.exists()


def test_what_was_billed_after_the_first_signature_is_said_to_need_two_anew(key, reconciled, ann, bob):
    sign(ann, key)
    MonthClose.objects.update(signed='{"invoices": 2, "total_cents": {"USD": 800}}')
    assert "signed anew" in text(bob.get(address_of(key)))
    sign(bob, key)
    assert not is_locked(key)


def test_each_check_has_its_count_and_leads_to_the_rows_behind_it(key, invoice, boss):
    unsent = close_month()
    correction = ask(invoice, CorrectionKind.CREDIT, now=LATER)
    rows = Rows()
    rows.closed = invoice
    Discrepancy.objects.filter(pk=rows.discrepancy.pk).update(cycle_key=key, status="open")
    page = boss.get(address_of(key))
    found = {"billing_invoice": {unsent}, "billing_correction": {correction}, "billing_discrepancy": {rows.discrepancy}}
    for address in [check.address for step in page.context["steps"] for check in step.checks]:
        assert html.escape(address) in page.content.decode()
        listed = boss.get(address)
        assert listed.status_code == 200, address
        model = "_".join(address.split("/")[2:4])
        if model in found:
            assert set(listed.context["cl"].queryset) == found.pop(model), address
    assert found == {}


def test_every_check_has_words_and_belongs_to_a_step():
    assert set(WORDS) == set(CheckCode)
    assert sorted(code for codes in STEPS.values() for code in codes) == sorted(CheckCode)


def test_a_list_that_the_person_may_not_see_is_not_linked(key, ann):
    assert "/admin/billing/invoice/" not in text(ann.get(address_of(key)))


def test_the_page_of_a_signed_month_leads_here(key, reconciled, ann):
    sign(ann, key)
    led = ann.get(reverse("admin:billing_monthclose_checks", args=[key]))
    assert led.headers["Location"] == address_of(key)


@pytest.mark.parametrize("month", ["2026-13", "soon", "", "2026-1"])
def test_what_is_no_month_is_told(month, ann):
    answer = ann.get(address_of(month))
    assert answer.status_code == 400
    if month:
        assert ann.get(signing(month)).status_code == 404


def test_without_the_permission_the_page_says_which_one_is_missing(key, reconciled, clerk):
    permit("clerk", SIGN)
    assert "billing.view_monthclose" in text(clerk.get(address_of(key)))
    permit("clerk", "view_monthclose")
    assert signing(key) not in text(clerk.get(address_of(key)))
    for refused in (clerk.get(signing(key)), clerk.post(signing(key), {"seen": "x"})):
        assert refused.status_code == 403
        assert "billing.sign_month" in text(refused)
    assert not MonthClose.objects.exists()
    assert not Correction.objects.exists()


def test_the_steps_follow_each_other_and_each_says_whether_it_is_done(key, reconciled, ann, bob):
    def done(client):
        return {step.title: step.done for step in client.get(address_of(key)).context["steps"]}

    ready = {"1. Run": True, "2. Review": True, "3. Reconcile": True}
    assert done(ann) == ready | {"4. Sign": False, "5. Lock": False}
    sign(ann, key)
    assert done(ann) == ready | {"4. Sign": True, "5. Lock": False}
    MonthClose.objects.update(signed='{"invoices": 2, "total_cents": {"USD": 800}}')
    assert done(ann)["4. Sign"] is False
    sign(ann, key)
    sign(bob, key)
    assert done(bob) == ready | {"4. Sign": True, "5. Lock": True}


def test_a_step_leads_to_where_it_is_done(key, ann):
    compare = f"{reverse('admin:billing_reconciliationrun_compare')}?month={key}"
    assert compare not in text(ann.get(address_of(key)))
    permit("clerk", "view_monthclose", SIGN, "compare_books")
    page = text(ann.get(address_of(key)))
    assert compare in page
    assert ann.get(compare).context["form"]["month"].value() == key
