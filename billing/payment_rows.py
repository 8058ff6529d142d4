"""Money as rows taken from Stripe: payments, refunds, disputes and credit notes of an invoice.

Each function is handed what Stripe shows now and brings our row to it; the caller holds the office lock. A row that
has reached an end at Stripe (a paid payment, a voided credit note) never leaves it.
"""

import uuid
from datetime import UTC, datetime

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.models import (
    CreditNote,
    CreditNoteStatus,
    Dispute,
    DisputeStatus,
    Invoice,
    Payment,
    PaymentChannel,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from billing.stripe_gateway.inbound import InboundInvoice, InboundPayment, InvoiceState
from billing.stripe_gateway.inbound_money import (
    InboundCreditNote,
    InboundDispute,
    InboundPaymentIntent,
    InboundRefund,
    IntentState,
)
from offices.audit_stream import office_stream

# Ends at Stripe: what is read later, from an older reply, does not undo them.
_REFUND_ENDS = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})
_DISPUTE_ENDS = frozenset(
    {DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.WARNING_CLOSED, DisputeStatus.PREVENTED}
)


def record_payments(
    invoice: Invoice,
    seen: InboundInvoice,
    *,
    actor: str,
    now: datetime,
    payments: tuple[InboundPayment, ...] | None = None,
) -> None:
    """Bring the payments of the invoice to what Stripe shows, money that came past Stripe included.

    `payments` are all of them, where the invoice's own reply holds only the first page.
    """
    complete = payments is not None or (seen.payments_expanded and not seen.payments_have_more)
    payments = seen.payments if payments is None else payments
    for payment in payments:
        known = Payment.objects.filter(stripe_payment_id=str(payment.id)).first()
        # A paid payment stays paid: what comes later is a refund, a row of its own.
        if known is None or known.status != PaymentStatus.PAID:
            fields = _payment_fields(invoice, payment, now)
            Payment.objects.update_or_create(stripe_payment_id=str(payment.id), defaults=fields)
    if complete and seen.status == InvoiceState.PAID:
        _record_out_of_band(invoice, seen, payments, actor=actor, now=now)


def _payment_fields(invoice: Invoice, payment: InboundPayment, now: datetime) -> dict[str, object]:
    fields: dict[str, object] = {
        "invoice": invoice,
        "payment_intent_id": str(payment.payment_intent_id or ""),
        "status": PaymentStatus(payment.status.value),
        "amount_requested_cents": payment.amount_requested_cents,
        "amount_paid_cents": payment.amount_paid_cents or 0,
        "currency": payment.currency.value.upper(),
        "paid_at": _time(payment.paid_at),
        "recorded_at": now,
    }
    if payment.charge_id is not None:
        fields["charge_id"] = str(payment.charge_id)
    if payment.status.value != PaymentStatus.OPEN:
        fields["processing"] = False
    return fields


def _record_out_of_band(
    invoice: Invoice, seen: InboundInvoice, payments: tuple[InboundPayment, ...], *, actor: str, now: datetime
) -> None:
    """What Stripe counts as paid and no payment there explains came by check or wire."""
    through_stripe = sum(
        payment.amount_paid_cents or 0 for payment in payments if payment.status.value == PaymentStatus.PAID
    )
    outside = seen.amount_paid_cents - through_stripe
    if outside <= 0 or Payment.objects.filter(invoice=invoice, channel=PaymentChannel.OUT_OF_BAND).exists():
        return
    Payment.objects.create(
        invoice=invoice,
        channel=PaymentChannel.OUT_OF_BAND,
        status=PaymentStatus.PAID,
        amount_requested_cents=outside,
        amount_paid_cents=outside,
        currency=seen.currency.value.upper(),
        paid_at=_time(seen.paid_at) or now,
        recorded_at=now,
    )
    _tell(invoice, "payment.out_of_band", {"amount_cents": outside}, actor, now)


def record_intent(payment: Payment, seen: InboundPaymentIntent, *, now: datetime) -> None:
    """Note whether a bank debit is under way, and which charge moves the money."""
    Payment.objects.filter(pk=payment.pk).update(
        processing=payment.status == PaymentStatus.OPEN and seen.status == IntentState.PROCESSING,
        charge_id=str(seen.charge_id or payment.charge_id),
        recorded_at=now,
    )


def record_refund(invoice: Invoice, seen: InboundRefund, *, actor: str, now: datetime) -> Refund:
    """Bring the refund to what Stripe shows and return it; a change is audited."""
    known = Refund.objects.filter(stripe_refund_id=str(seen.id)).first()
    if known is not None and (known.status in _REFUND_ENDS or known.status == seen.status.value):
        return known
    refund, _created = Refund.objects.update_or_create(
        stripe_refund_id=str(seen.id),
        defaults={
            "invoice": invoice,
            "payment_intent_id": str(seen.payment_intent_id or ""),
            "status": RefundStatus(seen.status.value),
            "amount_cents": seen.amount_cents,
            "currency": seen.currency.value.upper(),
            "refunded_at": datetime.fromtimestamp(seen.created, UTC),
            "recorded_at": now,
        },
    )
    _tell(invoice, "refund.recorded", {"status": refund.status, "amount_cents": refund.amount_cents}, actor, now)
    return refund


def record_dispute(invoice: Invoice, seen: InboundDispute, *, actor: str, now: datetime) -> Dispute:
    """Bring the dispute to what Stripe shows and return it; a change is audited."""
    known = Dispute.objects.filter(stripe_dispute_id=str(seen.id)).first()
    if known is not None and (known.status in _DISPUTE_ENDS or known.status == seen.status.value):
        return known
    dispute, _created = Dispute.objects.update_or_create(
        stripe_dispute_id=str(seen.id),
        defaults={
            "invoice": invoice,
            "payment_intent_id": str(seen.payment_intent_id or ""),
            "status": DisputeStatus(seen.status.value),
            "amount_cents": seen.amount_cents,
            "currency": seen.currency.value.upper(),
            "opened_at": datetime.fromtimestamp(seen.created, UTC),
            "recorded_at": now,
        },
    )
    _tell(invoice, "dispute.recorded", {"status": dispute.status, "amount_cents": dispute.amount_cents}, actor, now)
    return dispute


def record_credit_note(invoice: Invoice, seen: InboundCreditNote, *, actor: str, now: datetime) -> CreditNote:
    """Bring the credit note to what Stripe shows and return it; a change is audited."""
    known = CreditNote.objects.filter(stripe_credit_note_id=str(seen.id)).first()
    if known is not None and known.status in {CreditNoteStatus.VOID, seen.status.value}:
        return known
    note = known or CreditNote(
        id=_free_id(seen.own_credit_note_id),
        invoice=invoice,
        stripe_credit_note_id=str(seen.id),
        amount_cents=seen.amount_cents,
        before_payment_cents=seen.before_payment_cents,
        out_of_band_cents=seen.out_of_band_cents,
        currency=seen.currency.value.upper(),
        issued_at=datetime.fromtimestamp(seen.created, UTC),
    )
    note.status, note.recorded_at = CreditNoteStatus(seen.status.value), now
    note.save()
    _tell(invoice, "credit_note.recorded", {"status": note.status, "amount_cents": note.amount_cents}, actor, now)
    return note


def _free_id(own_id: uuid.UUID | None) -> uuid.UUID:
    """Return the id in the metadata, unless somebody at Stripe copied that of another note."""
    taken = own_id is None or CreditNote.objects.filter(pk=own_id).exists()
    return uuid.uuid4() if taken or own_id is None else own_id


def _tell(invoice: Invoice, action: str, payload: dict[str, PayloadValue], actor: str, now: datetime) -> None:
    about: dict[str, PayloadValue] = {"invoice": str(invoice.pk), **payload}
    record(Fact(office_stream(invoice.office.reference), action, about), actor=actor, now=now)


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
