"""Rows of docs/reliability.md that no test elsewhere shows as a whole."""

import pytest

from billing.billing_run import run_due
from billing.delivery import deliver_due
from billing.models import Invoice, LineItem, OutboxMessage, ParkedOffice, ParkingCode
from billing.unparking import unpark_office
from tests.billing.scenes import CLOSED_AT, OPENED_AT, SharedClock, close_month, drain, due_office
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.invariants import assert_invariants
from tests.mutants.apply import apply
from tests.mutants.operators import changed, path_of

pytestmark = pytest.mark.django_db
LINES = "billing.line_items"


def test_a_second_month_end_sends_nothing_to_stripe(stripe):
    clock = SharedClock(CLOSED_AT, stripe)
    close_month()
    drain(clock)
    writes, rows = stripe.writes(), [model.objects.count() for model in (Invoice, LineItem, OutboxMessage)]

    for as_of in (CLOSED_AT, CLOSED_AT, OPENED_AT):
        run_due(as_of=as_of, actor=ACTOR, now=clock.forward(hours=1))
        assert deliver_due(clock=clock).counts == {}

    assert stripe.writes() == writes
    assert [model.objects.count() for model in (Invoice, LineItem, OutboxMessage)] == rows


@pytest.mark.parametrize("number", [8, pytest.param(100, marks=pytest.mark.full)])
def test_one_poison_office_among_a_hundred_is_parked_and_billed_once_when_it_is_released(number):
    offices = [make_office() for _ in range(number)]
    for office in offices:
        make_patient(office, (utc("2026-01-02"), None))
    run_due(as_of=OPENED_AT, actor=ACTOR, now=OPENED_AT)
    poison = offices[number // 3]
    line = LineItem.objects.get(invoice__office=poison)
    LineItem.objects.filter(pk=line.pk).update(unit_price_cents=20_000)

    first = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    LineItem.objects.filter(pk=line.pk).update(unit_price_cents=line.unit_price_cents)
    unpark_office(office_id=poison.pk, reason="the price was mended", actor=ACTOR, now=CLOSED_AT)
    second = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    third = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)

    assert [(problem.office, problem.code) for problem in first.problems] == [(poison.reference, "price_differs")]
    assert [each.tally.counts["invoices_closed"] for each in (first, second, third)] == [number - 1, 1, 0]
    assert Invoice.objects.filter(closed_at__isnull=False).count() == number
    assert_invariants()


# What somebody could do to the lines by mistake, and what stops it: a bound, or the database itself.
MISTAKES = {
    "a price is multiplied": (
        '"unit_price_cents": "unit_price_cents"',
        '"unit_price_cents": F("unit_price_cents") * 10',
    ),
    "who was charged is charged again": ("_open_and_touching() & ~Q(_already_charged())", "_open_and_touching()"),
    "a patient counts twice": ('"quantity": Value(1,', '"quantity": Value(2,'),
}


@pytest.fixture
def mistaken(request):
    apply(LINES, changed(request.param, [(LINES, *MISTAKES[request.param])])[LINES])
    yield request.param
    apply(LINES, path_of(LINES).read_text(encoding="utf-8"))


@pytest.mark.parametrize("mistaken", MISTAKES, indirect=True)
def test_a_bug_that_doubles_or_multiplies_is_stopped_before_anything_is_sent(stripe, mistaken):
    due_office()
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    deliver_due(clock=lambda: CLOSED_AT)

    assert ParkedOffice.objects.get().code in {ParkingCode.PRICE_DIFFERS, ParkingCode.UNEXPECTED_ERROR}
    assert not OutboxMessage.objects.exists()
    assert not Invoice.objects.filter(closed_at__isnull=False).exists()
    assert stripe.writes() == 0
