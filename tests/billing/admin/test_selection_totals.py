"""What the list of invoices adds up to: what each invoice's own page says, under every filter, at a bounded cost."""

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import read_only
from billing import selection_totals
from billing.admin import invoices as invoice_page
from billing.models import Correction, Invoice, InvoiceStatus
from billing.payment_state import money_of
from billing.selection_totals import totals_of
from tests.billing.admin.conftest import list_address, permit
from tests.billing.correction_scenes import States, corrected
from tests.billing.scenes import CLOSED_AT, SharedClock

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on_that_day():
    with time_machine.travel(CLOSED_AT, tick=True):
        yield


@pytest.fixture
def mixed(stripe) -> list[Invoice]:
    """An invoice in each state; of one a part is paid, of another a part is credited."""
    states = States(stripe, SharedClock(CLOSED_AT, stripe))
    names = ("sent", "failed", "partly_paid", "written_off", "paid", "paid_by_check", "canceled", "unsent")
    made = [getattr(states, name)() for name in names]
    credited = states.sent()
    corrected(credited, "credit", states.clock)
    return [*made, credited]


def one_by_one(invoices):
    """Return what is billed, paid and owed of these, by what each of them says of itself."""
    closed = [each for each in invoices if each.closed_at and each.status != InvoiceStatus.CANCELED]
    money = money_of(closed)
    sent = [each for each in closed if each.status in {InvoiceStatus.SENT, InvoiceStatus.FAILED}]
    return (
        sum(each.total_cents for each in closed),
        sum(each.total_cents for each in closed if each.status == InvoiceStatus.PAID),
        sum(money[each.pk].due for each in sent),
    )


@pytest.mark.parametrize("status", [None, *InvoiceStatus.values])
def test_the_totals_are_the_sum_of_what_each_invoice_says_of_itself(mixed, status):
    assert Correction.objects.exists()
    chosen = Invoice.objects.filter(status=status) if status else Invoice.objects.all()
    totals = totals_of(chosen)
    sums = totals.sums["USD"]
    assert (sums.billed, sums.paid, sums.owed) == one_by_one(chosen)
    assert totals.number == chosen.count() > 0
    for each, number in totals.numbers.items():
        assert number == chosen.filter(status=each).count()


def test_each_currency_is_added_up_by_itself(mixed):
    Invoice.objects.filter(closed_at__isnull=True).update(currency="EUR")
    sums = totals_of(Invoice.objects.all()).sums
    assert set(sums) == {"EUR", "USD"}
    assert sums["EUR"].billed == 0
    assert sums["USD"].billed == one_by_one(Invoice.objects.filter(currency="USD"))[0]


def test_the_list_shows_the_totals_of_what_its_filters_leave(mixed, clerk):
    permit("clerk", "view_invoice")
    shown = clerk.get(list_address(Invoice, "?status__exact=paid")).context["totals"]
    paid = Invoice.objects.filter(status="paid")
    assert shown.heading == f"{paid.count()} invoices"
    assert dict(shown.sums)["Billed"] == f"{sum(each.total_cents for each in paid) / 100:.2f} USD"
    page = clerk.get(list_address(Invoice, f"?q={mixed[0].office.reference}"))
    assert "Owed" in page.content.decode()
    assert page.context["totals"].statuses[-1][0] == "1 Sent"
    assert clerk.get(list_address(Invoice, "?age=0-30")).status_code == 200


def test_a_selection_that_is_empty_says_so(mixed, clerk):
    permit("clerk", "view_invoice")
    assert clerk.get(list_address(Invoice, "?cycle=2001-01")).context["totals"].heading == "0 invoices"


def test_of_a_longer_selection_the_newest_are_added_up_and_it_is_said(mixed, clerk, monkeypatch):
    monkeypatch.setattr(selection_totals, "LONGEST_SUM", 3)
    monkeypatch.setattr(invoice_page, "LONGEST_SUM", 3)
    monkeypatch.setattr(read_only, "LONGEST_COUNT", 4)
    permit("clerk", "view_invoice")
    shown = clerk.get(list_address(Invoice)).context["totals"]
    assert shown.heading.startswith("The newest 10,000 of the invoices")
    newest = Invoice.objects.order_by("-created_at", "-pk")[:3]
    assert totals_of(Invoice.objects.all()).number == 3
    assert dict(shown.sums)["Billed"] == f"{one_by_one(list(newest))[0] / 100:.2f} USD"


def test_the_totals_cost_one_question(mixed):
    with CaptureQueriesContext(connection) as asked:
        totals_of(Invoice.objects.all())
    assert len(asked) == 1
    assert totals_of(Invoice.objects.filter(pk__in=[])).number == 0
