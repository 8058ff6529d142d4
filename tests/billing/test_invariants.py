"""The checker of invariants finds what is planted: a harness that cannot fail proves nothing."""

import json
from datetime import timedelta

import pytest

from audit.models import AuditEntry
from billing.models import BillingCycle, Invoice, LineItem, OutboxMessage, StripeEvent
from offices.models import Office
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain
from tests.invariants import assert_invariants, violations
from tests.tampering import drop_unique, execute, lift_rules

pytestmark = pytest.mark.django_db

LINES, INVOICES, CYCLES, OUTBOX = "billing_lineitem", "billing_invoice", "billing_billingcycle", "billing_outboxmessage"


@pytest.fixture
def invoice(stripe):
    """A sent invoice, with nothing wrong about it."""
    made = close_month()
    drain(SharedClock(CLOSED_AT, stripe))
    made.refresh_from_db()
    assert violations(stripe) == []
    for table in (LINES, INVOICES, CYCLES, OUTBOX, "audit_auditentry"):
        lift_rules(table)
    return made


def double_a_line(invoice, stripe):
    drop_unique(LINES, "line_item_patient_once_per_cycle")
    line = invoice.line_items.first()
    open_invoice = Invoice.objects.get(office=invoice.office, closed_at__isnull=True)
    LineItem.objects.create(
        invoice=open_invoice,
        item_type="adjustment",
        cycle_key=line.cycle_key,
        patient_reference=line.patient_reference,
        unit_price_cents=200,
        created_at=CLOSED_AT,
    )


def lose_a_line(invoice, stripe):
    invoice.line_items.first().delete()


def change_a_price(invoice, stripe):
    LineItem.objects.filter(pk=invoice.line_items.first().pk).update(unit_price_cents=201)


def lie_about_a_total(invoice, stripe):
    stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, total=401)


def lie_about_a_currency(invoice, stripe):
    stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, currency="eur")


def double_at_stripe(invoice, stripe):
    held = stripe.get("invoice", invoice.stripe_invoice_id)
    stripe._account.save({**held, "id": "in_Double"})


def add_a_foreign_invoice_at_stripe(invoice, stripe):
    held = stripe.get("invoice", invoice.stripe_invoice_id)
    stripe._account.save({**held, "id": "in_Foreign", "metadata": {}})


def add_a_late_line(invoice, stripe):
    make = {"invoice": invoice, "item_type": "adjustment", "unit_price_cents": 0}
    LineItem.objects.create(**make, created_at=CLOSED_AT + timedelta(days=1))


def swap_two_item_types(invoice, stripe):
    invoice.line_items.filter(item_type="active_patient").update(item_type="adjustment")


def rewrite_the_document(invoice, stripe):
    message = OutboxMessage.objects.get(invoice=invoice)
    message.payload = message.payload.replace('"total_cents":400', '"total_cents":100')
    message.save()


def move_without_an_entry(invoice, stripe):
    Invoice.objects.filter(pk=invoice.pk).update(status="failed")


def move_against_the_rules(invoice, stripe):
    entry = AuditEntry.objects.get(action="invoice.status_changed")
    payload = json.loads(entry.payload) | {"to": "failed"}
    AuditEntry.objects.filter(pk=entry.pk).update(payload=json.dumps(payload))
    Invoice.objects.filter(pk=invoice.pk).update(status="failed")


def lose_a_message(invoice, stripe):
    lift_rules("billing_outboundrequest", "billing_outboxstep", "billing_outboxmessage")
    execute("UPDATE billing_outboundrequest SET message_id = NULL")
    execute("DELETE FROM billing_expectedevent")
    execute("DELETE FROM billing_outboxstep")
    OutboxMessage.objects.filter(invoice=invoice).delete()


def call_a_message_done_too_early(invoice, stripe):
    Invoice.objects.filter(pk=invoice.pk).update(status="draft")


def hide_a_payment(invoice, stripe):
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)


def edit_the_trail(invoice, stripe):
    AuditEntry.objects.filter(seq=1).update(actor="nobody")


def tear_a_gap(invoice, stripe):
    later = BillingCycle.objects.latest("start_at")
    BillingCycle.objects.filter(pk=later.pk).update(start_at=later.start_at + timedelta(days=1))


def let_cycles_overlap(invoice, stripe):
    later = BillingCycle.objects.latest("start_at")
    drop_unique(CYCLES, "billing_cycle_never_overlaps")
    BillingCycle.objects.filter(pk=later.pk).update(start_at=later.start_at - timedelta(days=1))


def store_a_patient(invoice, stripe):
    values = {"event_type": "x.y", "api_version": "", "livemode": False, "digest": ""}
    reference = str(invoice.line_items.first().patient_reference)
    times = dict.fromkeys(("created", "received_at", "next_attempt_at"), CLOSED_AT)
    StripeEvent.objects.create(event_id="evt_1", object_id=reference, **values, **times)


PLANTED = [
    (double_a_line, "I1"),
    (lose_a_line, "I2"),
    (lose_a_line, "I3"),
    (change_a_price, "I3"),
    (lie_about_a_total, "I4"),
    (lie_about_a_currency, "I4"),
    (double_at_stripe, "I5"),
    (add_a_foreign_invoice_at_stripe, "I5"),
    (add_a_late_line, "I6"),
    (swap_two_item_types, "I6"),
    (rewrite_the_document, "I6"),
    (move_without_an_entry, "I7"),
    (move_against_the_rules, "I7"),
    (lose_a_message, "I8"),
    (call_a_message_done_too_early, "I8"),
    (hide_a_payment, "I9"),
    (edit_the_trail, "I10"),
    (tear_a_gap, "I11"),
    (let_cycles_overlap, "I11"),
    (store_a_patient, "I12"),
]


@pytest.mark.parametrize(("plant", "invariant"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_the_checker_finds_what_is_planted(invoice, stripe, plant, invariant):
    plant(invoice, stripe)

    assert invariant in {violation.invariant for violation in violations(stripe)}
    with pytest.raises(AssertionError, match=invariant):
        assert_invariants(stripe)


def test_every_invariant_has_a_planted_violation():
    assert {invariant for _, invariant in PLANTED} == {f"I{number}" for number in range(1, 13)}


def test_a_paid_invoice_of_a_parked_office_is_an_open_discrepancy_and_no_violation(invoice, stripe):
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    Office.objects.update(parked_at=CLOSED_AT)

    assert violations(stripe) == []


def test_a_gap_in_which_the_office_was_canceled_is_legal(invoice, stripe):
    later = BillingCycle.objects.latest("start_at")
    office = invoice.office
    office.status_changes.create(status="canceled", effective_at=later.start_at - timedelta(hours=1))
    office.status_changes.create(status="active", effective_at=later.start_at + timedelta(days=1))
    BillingCycle.objects.filter(pk=later.pk).update(start_at=later.start_at + timedelta(days=1))
    LineItem.objects.filter(invoice__cycle=later).delete()

    assert "I11" not in {each.invariant for each in violations(stripe)}
