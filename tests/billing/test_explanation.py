"""Where a total comes from: the four places agree, what differs shows, and each line stands by a rule and a price."""

import pytest

from billing import office_terms
from billing.billing_run import run_due
from billing.explanation import Rule, explain, lines_of
from billing.models import Invoice, ItemType, StripeInvoiceCopy
from patients.models import ActivityPeriod
from tests.billing.scenes import CLOSED_AT, close_month
from tests.builders import ACTOR, make_patient, utc

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed():
    return close_month()


def test_the_total_is_the_same_wherever_it_stands(closed):
    explained = explain(closed)
    assert (explained.lines_total, explained.frozen_total, explained.document_total) == (400, 400, 400)
    assert explained.stripe_total is None
    assert explained.agrees
    assert [(each.item_type, each.quantity, each.sent) for each in explained.aggregates] == [
        (ItemType.ACTIVE_PATIENT, 1, 1),
        (ItemType.PATIENT_ACTIVATION, 1, 1),
    ]


def test_what_stripe_shows_otherwise_is_no_agreement(closed):
    Invoice.objects.filter(pk=closed.pk).update(stripe_invoice_id="in_1")
    closed.refresh_from_db()
    StripeInvoiceCopy.objects.create(
        stripe_invoice_id="in_1", run=_run(), customer_index="d", status="open", currency="USD", total_cents=600,
        amount_paid_cents=0, amount_remaining_cents=600, created=CLOSED_AT, seen_at=CLOSED_AT,
    )  # fmt: skip
    explained = explain(closed)
    assert (explained.stripe_total, explained.shown_at, explained.agrees) == (600, CLOSED_AT, False)


def _run():
    from tests.database_rows import Rows

    return Rows().reconciliation_run


def test_each_line_stands_by_its_rule_and_price(closed):
    carried = lines_of(closed, ItemType.ACTIVE_PATIENT, 200, limit=10)[0]
    assert (carried.rule, carried.since) == (Rule.CARRIED_OVER, utc("2026-01-02"))
    assert carried.price_words == "plan standard, price version of 2000-01-01"
    assert lines_of(closed, ItemType.PATIENT_ACTIVATION, 200, limit=10)[0].rule is Rule.BECAME_ACTIVE


def test_an_adjustment_stands_by_the_price_of_its_own_month(closed):
    office_terms.override_price(
        office_id=closed.office_id, unit_price_cents=150, starts_on=utc("2026-03-01").date(),
        ends_on=utc("2026-06-01").date(), reason="pilot", actor=ACTOR, now=CLOSED_AT,
    )  # fmt: skip
    make_patient(closed.office, (utc("2026-02-20"), utc("2026-02-25")))
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))
    march = Invoice.objects.get(office=closed.office, cycle__key="2026-03")
    late = lines_of(march, ItemType.ADJUSTMENT, 200, limit=10)[0]
    assert (late.rule, late.cycle.key) == (Rule.LATE, "2026-02")
    assert "plan standard" in late.price_words


def test_an_end_that_was_written_down_later_explains_a_line_that_stays(closed):
    line = closed.line_items.get(item_type=ItemType.PATIENT_ACTIVATION)
    ActivityPeriod.objects.filter(patient=line.patient_reference).update(
        activated_at=utc("2026-01-01"), deactivated_at=utc("2026-01-05"), deactivation_recorded_at=CLOSED_AT
    )
    assert lines_of(closed, ItemType.PATIENT_ACTIVATION, 200, limit=10)[0].rule is Rule.ENDED_LATER


def test_long_invoices_are_read_page_by_page(closed, django_assert_num_queries):
    for _ in range(5):
        make_patient(closed.office, (utc("2026-03-01"), None))
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))
    march = Invoice.objects.get(office=closed.office, cycle__key="2026-03")
    seen, after = [], None
    while page := lines_of(march, ItemType.ACTIVE_PATIENT, 200, after=after, limit=2):
        seen += [each.line.pk for each in page]
        after = page[-1].line.pk
    assert seen == sorted(march.line_items.filter(item_type=ItemType.ACTIVE_PATIENT).values_list("pk", flat=True))
    with django_assert_num_queries(3):
        lines_of(march, ItemType.ACTIVE_PATIENT, 200, limit=50)
