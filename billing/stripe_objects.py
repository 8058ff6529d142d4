"""What an event's object is about: an invoice of ours, a customer of ours, or nothing that we keep.

By the prefix of its id, over the rows that we have; Stripe is asked only about what we do not know. An invoice of ours
carries our own id in its metadata from its first moment, and no other system knows those ids: that is how the objects
of another system on the same account are told from ours that we do not know yet.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol
from uuid import UUID

from billing import expectations
from billing.customers import office_of_customer
from billing.models import CreditNote, Dispute, Invoice, Payment, Refund
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import RetrieveInvoice
from billing.stripe_gateway.outbound_reads import (
    ListInvoicePayments,
    RetrieveCharge,
    RetrieveCreditNote,
    RetrieveDispute,
    RetrieveRefund,
)
from billing.stripe_gateway.outbound_values import OutboundValueInvalid, StripeId
from billing.stripe_gateway.replies import StripeReplyUnusable, StripeResourceMissing

# What docs/operators.md asks to select at the endpoint; Stripe's families, and single types of the others.
FAMILIES = ("invoice.", "credit_note.", "charge.dispute.", "refund.", "charge.refund.")
SINGLE_TYPES = frozenset(
    {
        "charge.refunded",
        "payment_intent.processing",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "customer.updated",
        "customer.deleted",
    }
)


class Stranger(Enum):
    """An object that is about no row of ours."""

    UNKNOWN = auto()  # ours that we do not know yet, or nobody can tell
    FOREIGN = auto()  # another system's on the same account
    UNRELATED = auto()  # of a kind that tells nothing we keep


@dataclass(frozen=True, slots=True)
class InvoiceNews:
    """Something happened to an invoice of ours; `money_back`: refunds, disputes and credit notes are to be read too."""

    invoice_id: UUID
    money_back: bool


@dataclass(frozen=True, slots=True)
class CustomerNews:
    """Something happened to the customer of an office."""

    office_id: UUID


Found = InvoiceNews | CustomerNews | Stranger


class _Finder(Protocol):
    def __call__(self, object_id: str, *, ask: bool) -> Found: ...


def is_news(event_type: str) -> bool:
    """Whether we listen to this type of event."""
    return event_type in SINGLE_TYPES or event_type.startswith(FAMILIES)


def find(object_id: str, *, ask: bool) -> Found:
    """Return what the object is about; with `ask`, Stripe is asked whose an unknown invoice is.

    Raises what `call_stripe` raises, but for an object that does not exist there: that is unknown.
    """
    finder = _FINDERS.get(object_id.partition("_")[0])
    if finder is None:
        return Stranger.UNRELATED
    try:
        return finder(object_id, ask=ask)
    except (StripeResourceMissing, OutboundValueInvalid):
        return Stranger.UNKNOWN
    except StripeReplyUnusable as unusable:
        if unusable.field == "currency":
            return Stranger.FOREIGN  # we bill in the currencies that we can read
        raise


def _invoice(object_id: str, *, ask: bool) -> Found:
    known = Invoice.objects.filter(stripe_invoice_id=object_id).values_list("pk", flat=True).first()
    if known is not None:
        return InvoiceNews(known, money_back=False)
    if not ask:
        return Stranger.UNKNOWN  # our own commit may be behind
    expectation = expectations.on_invoice(Operation.RETRIEVE_INVOICE, object_id)
    seen = call_stripe(RetrieveInvoice(StripeId(object_id)), expectation=expectation)
    return Stranger.FOREIGN if seen.own_invoice_id is None else Stranger.UNKNOWN


def _payment_intent(object_id: str, *, ask: bool, money_back: bool = False) -> Found:
    known = Payment.objects.filter(payment_intent_id=object_id).values_list("invoice_id", flat=True).first()
    if known is not None:
        return InvoiceNews(known, money_back)
    if not ask:
        return Stranger.UNKNOWN
    expectation = expectations.payments_of_intent(object_id)
    page = call_stripe(ListInvoicePayments(StripeId(object_id)), expectation=expectation)
    paid = [str(payment.invoice_id) for payment in page.items]
    return _of_final_invoice(Invoice.objects.filter(stripe_invoice_id__in=paid).values_list("pk", flat=True).first())


def _charge(object_id: str, *, ask: bool) -> Found:
    known = Payment.objects.filter(charge_id=object_id).values_list("invoice_id", flat=True).first()
    if known is not None:
        return InvoiceNews(known, money_back=True)
    expectation = expectations.retrieve(Operation.RETRIEVE_CHARGE, "{charge}", object_id)
    seen = call_stripe(RetrieveCharge(StripeId(object_id)), expectation=expectation)
    return _behind(seen.payment_intent_id, None, ask=ask)


def _refund(object_id: str, *, ask: bool) -> Found:
    known = Refund.objects.filter(stripe_refund_id=object_id).values_list("invoice_id", flat=True).first()
    if known is not None:
        return InvoiceNews(known, money_back=True)
    expectation = expectations.retrieve(Operation.RETRIEVE_REFUND, "{refund}", object_id)
    seen = call_stripe(RetrieveRefund(StripeId(object_id)), expectation=expectation)
    return _behind(seen.payment_intent_id, seen.charge_id, ask=ask)


def _dispute(object_id: str, *, ask: bool) -> Found:
    known = Dispute.objects.filter(stripe_dispute_id=object_id).values_list("invoice_id", flat=True).first()
    if known is not None:
        return InvoiceNews(known, money_back=True)
    expectation = expectations.retrieve(Operation.RETRIEVE_DISPUTE, "{dispute}", object_id)
    seen = call_stripe(RetrieveDispute(StripeId(object_id)), expectation=expectation)
    return _behind(seen.payment_intent_id, seen.charge_id, ask=ask)


def _credit_note(object_id: str, *, ask: bool) -> Found:
    del ask  # a credit note of ours is of an invoice that we know
    known = CreditNote.objects.filter(stripe_credit_note_id=object_id).values_list("invoice_id", flat=True).first()
    if known is None:
        expectation = expectations.retrieve(Operation.RETRIEVE_CREDIT_NOTE, "{credit_note}", object_id)
        seen = call_stripe(RetrieveCreditNote(StripeId(object_id)), expectation=expectation)
        of = Invoice.objects.filter(stripe_invoice_id=str(seen.invoice_id))
        known = of.values_list("pk", flat=True).first()
    return _of_final_invoice(known)


def _behind(intent: StripeId | None, charge: StripeId | None, *, ask: bool) -> Found:
    """Go on to the payment intent behind a charge, refund or dispute."""
    if intent is not None:
        return _payment_intent(str(intent), ask=ask, money_back=True)
    known = charge and Payment.objects.filter(charge_id=str(charge)).values_list("invoice_id", flat=True).first()
    return _of_final_invoice(known or None)


def _of_final_invoice(known: UUID | None) -> Found:
    """Judge by the invoice: one that can be paid or credited is final, and ours are known before they are."""
    return Stranger.FOREIGN if known is None else InvoiceNews(known, money_back=True)


def _invoice_payment(object_id: str, *, ask: bool) -> Found:
    del ask
    known = Payment.objects.filter(stripe_payment_id=object_id).values_list("invoice_id", flat=True).first()
    # An unknown one comes with its invoice, which has news of its own.
    return Stranger.UNRELATED if known is None else InvoiceNews(known, money_back=False)


def _customer(object_id: str, *, ask: bool) -> Found:
    office_id = office_of_customer(object_id)
    if office_id is not None:
        return CustomerNews(office_id)
    # Ours are known within the seconds between Stripe's reply and our commit.
    return Stranger.FOREIGN if ask else Stranger.UNKNOWN


_FINDERS: dict[str, _Finder] = {
    "in": _invoice,
    "inpay": _invoice_payment,
    "pi": _payment_intent,
    "ch": _charge,
    "py": _charge,
    "re": _refund,
    "pyr": _refund,
    "du": _dispute,
    "dp": _dispute,
    "cn": _credit_note,
    "cus": _customer,
}
