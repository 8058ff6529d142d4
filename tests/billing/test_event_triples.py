"""Every (our status, Stripe's state, type of event): the end is Stripe's state, and paid and canceled are ends."""

import itertools

import pytest

from billing.models import CreditNote, Dispute, Invoice, LineItem, ParkedOffice, Payment, Refund
from billing.stripe_events import process_due
from billing.stripe_objects import SINGLE_TYPES, is_news
from offices.models import Office, OfficeStripeAccount
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, hear, ring

pytestmark = pytest.mark.django_db

# By the kind of object they carry: all types that Stripe sends of the families and singles that we listen to.
TYPES = {
    "invoice": (
        "invoice.created", "invoice.updated", "invoice.finalized", "invoice.finalization_failed", "invoice.sent",
        "invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed", "invoice.payment_action_required",
        "invoice.payment_attempt_required", "invoice.overdue", "invoice.will_be_due", "invoice.overpaid",
        "invoice.voided", "invoice.marked_uncollectible", "invoice.deleted",
    ),
    "payment_intent": (
        "payment_intent.processing", "payment_intent.succeeded", "payment_intent.payment_failed",
        "payment_intent.canceled",
    ),
    "charge": ("charge.refunded",),
    "refund": ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"),
    "dispute": (
        "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
        "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated",
    ),
    "credit_note": ("credit_note.created", "credit_note.updated", "credit_note.voided"),
    "customer": ("customer.updated", "customer.deleted"),
}  # fmt: skip
STATES = {
    "draft": {"status": "draft", "attempt_count": 0},
    "open": {"status": "open", "attempt_count": 0},
    "attempted": {"status": "open", "attempt_count": 1},
    "paid": {"status": "paid", "attempt_count": 1},
    "void": {"status": "void", "attempt_count": 1},
    "uncollectible": {"status": "uncollectible", "attempt_count": 1},
}
# Written from product.md and stripe/facts.md, not from the code: what we say when Stripe shows this.
OF_STATE = {"open": "sent", "attempted": "failed", "paid": "paid", "void": "canceled", "uncollectible": "failed"}
OURS = ("draft", "sent", "failed", "paid", "canceled")
ENDS = {"paid", "canceled"}


def expected(ours: str, state: str) -> str:
    return ours if ours in ENDS or state in {"draft", "gone"} else OF_STATE[state]


def test_the_types_are_all_that_we_listen_to():
    named = set(itertools.chain.from_iterable(TYPES.values()))
    assert all(is_news(each) for each in named)
    assert named >= SINGLE_TYPES


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def objects(stripe, clock):
    """An invoice with one object of each kind around it; returns our invoice and their ids by kind."""
    invoice, stripe_id = delivered(stripe, clock)
    stripe.dashboard.pay_invoice(stripe_id)
    refund = stripe.dashboard.refund(stripe_id, 50)
    dispute = stripe.dashboard.dispute(stripe_id)
    note = stripe.dashboard.credit(stripe_id, 25, out_of_band_amount=25)
    hear(stripe, clock)
    assert (Refund.objects.count(), Dispute.objects.count(), CreditNote.objects.count()) == (1, 1, 1)
    return invoice, {
        "invoice": stripe_id, "refund": refund["id"], "dispute": dispute["id"], "credit_note": note["id"],
        "charge": refund["charge"], "payment_intent": refund["payment_intent"],
        "customer": OfficeStripeAccount.objects.get().customer_id,
    }  # fmt: skip


def put_back(invoice: Invoice, status: str) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(status=status, attempt_count=0, written_off_at=None)
    ParkedOffice.objects.all().delete()
    Office.objects.update(parked_at=None)


@pytest.mark.parametrize("ours", OURS)
def test_every_triple_ends_where_the_table_says(stripe, clock, objects, ours):
    invoice, ids = objects
    numbers = itertools.count()
    found, wanted = {}, {}
    for state in [*STATES, "gone"]:
        if state == "gone":
            stripe.dashboard.forget("invoice", ids["invoice"])
        else:
            stripe.dashboard.tamper("invoice", ids["invoice"], **STATES[state])
        for kind, types in TYPES.items():
            for event_type in types:
                put_back(invoice, ours)
                event = {
                    "id": f"evt_1Triple{next(numbers)}", "object": "event", "type": event_type, "livemode": False,
                    "created": int(clock.at.timestamp()), "api_version": None,
                    "data": {"object": {"id": ids[kind], "object": kind}},
                }  # fmt: skip
                ring(stripe, clock.at, events=[event])
                process_due(clock=clock)
                triple = (ours, state, event_type)
                found[triple] = Invoice.objects.values_list("status", flat=True).get(pk=invoice.pk)
                wanted[triple] = ours if kind == "customer" else expected(ours, state)

    assert found == wanted
    assert len(found) == (len(STATES) + 1) * sum(map(len, TYPES.values()))
    assert Payment.objects.filter(status="paid").exists(), "a paid payment stays paid"
    assert LineItem.objects.filter(invoice=invoice).exists()
