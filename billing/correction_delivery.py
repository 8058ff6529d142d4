"""Take an approved correction to Stripe: fetch, one write, fetch again, and end it as our books then show it.

Stripe owns whether an invoice is paid, so it may have decided otherwise meanwhile: paid before it could be voided, or
declined once more. Such facts end the correction with an outcome; only what nobody expects parks the office.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from billing import documents, expectations
from billing.correction_ending import end_correction
from billing.correction_rules import CorrectionRefused, InvoiceChanged, check_fits
from billing.delivery_steps import Clock, StripeObjectUnexpected, Write, perform
from billing.documents import CorrectionDocument
from billing.fail_points import FailPoint, reach
from billing.invoice_pull import pull_invoice
from billing.models import (
    Correction,
    CorrectionKind,
    CorrectionStatus,
    CreditNote,
    Invoice,
    InvoiceStatus,
    OutboxMessage,
    OutboxStep,
    PaybackChannel,
    Payment,
    PaymentChannel,
)
from billing.payment_state import InvoiceMoney, money_of
from billing.stripe_gateway.outbound import OutboundRequest, PayInvoice, VoidInvoice
from billing.stripe_gateway.outbound_corrections import CreateCreditNote, MarkUncollectible
from billing.stripe_gateway.outbound_values import Cents, CreditReason, OwnId, Settlement, StripeId
from billing.stripe_gateway.replies import StripeRefused, StripeReplyUnusable, StripeResourceMissing
from offices.locking import lock_office

ALREADY_REFUNDED = "charge_already_refunded"


class NothingToRefund(CorrectionRefused):
    """The payment has gone back already, outside of our books."""

    code = ALREADY_REFUNDED


def deliver_correction(message: OutboxMessage, clock: Clock, *, actor: str) -> None:
    """Carry the correction out exactly once and end it. Raises what `perform` and `pull_invoice` raise."""
    delivery = _prepare(message, clock, actor)
    if delivery.correction.status != CorrectionStatus.APPROVED:
        return  # ended by a try that died before it could put the message away
    try:
        outcome = _carry_out(delivery)
    except CorrectionRefused as late:
        delivery.end(CorrectionStatus.OVERTAKEN, late.code)
        return
    delivery.end(CorrectionStatus.DONE, outcome)


def _carry_out(delivery: "_Delivery") -> str:
    """Bring the correction about and return its outcome; raise CorrectionRefused when Stripe was faster."""
    refused = ""
    if delivery.look() is None:
        try:
            perform(delivery.message, delivery.write(), delivery.clock)
        except StripeResourceMissing:
            raise  # an invoice that vanished is nobody's expectation
        except StripeRefused as refusal:
            refused = refusal.code
            if delivery.look() is None and not delivery.expects(refused):
                raise
    invoice = delivery.pull()
    reach(FailPoint.CORRECTION_APPLIED)
    if delivery.correction.kind == CorrectionKind.RETRY:
        return "paid" if invoice.status == InvoiceStatus.PAID else refused or "not_paid_yet"
    if refused == ALREADY_REFUNDED:
        raise NothingToRefund("the payment has gone back already")
    if not delivery.is_there(invoice):
        raise StripeReplyUnusable("correction_not_seen", ambiguous=True)
    return ""


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The frozen document, the row it was made of, and the worker's clock."""

    message: OutboxMessage
    document: CorrectionDocument
    correction: Correction
    clock: Clock
    actor: str

    def pull(self) -> Invoice:
        """Bring our books to all that Stripe shows of the invoice, and return it."""
        invoice = _invoice(self.correction.invoice_id)
        pull_invoice(invoice, actor=self.actor, clock=self.clock, money_back=True, message=self.message)
        return _invoice(invoice.pk)

    def look(self, _step: OutboxStep | None = None) -> str | None:
        """Return the invoice's id if all is as it was to become; raise CorrectionRefused when it is too late."""
        invoice = self.pull()
        if self.is_there(invoice):
            return self.document.stripe_invoice
        if self.correction.kind == CorrectionKind.RETRY and invoice.version != self.correction.invoice_version:
            if self._was_tried():
                return self.document.stripe_invoice
            raise InvoiceChanged("an attempt was made since the retry was asked for")
        check_fits(self.correction, invoice, _money(invoice))
        return None

    def is_there(self, invoice: Invoice) -> bool:
        """Say whether our books show what the correction was to bring about."""
        kind = self.correction.kind
        if kind in {CorrectionKind.CANCEL, CorrectionKind.REPLACE}:
            return invoice.status == InvoiceStatus.CANCELED
        if kind == CorrectionKind.WRITE_OFF:
            return _money(invoice).written_off
        if kind == CorrectionKind.CREDIT:
            return CreditNote.objects.filter(pk=self.correction.pk, invoice=invoice).exists()
        if kind == CorrectionKind.OFFLINE_PAYMENT:
            return Payment.objects.filter(invoice=invoice, channel=PaymentChannel.OUT_OF_BAND).exists()
        return False

    def expects(self, code: str) -> bool:
        """Say whether this refusal of Stripe is a fact like any other: a declined card, money that went back."""
        return code == ALREADY_REFUNDED or (
            self.correction.kind == CorrectionKind.RETRY and code != "idempotency_error"
        )

    def write(self) -> Write:
        """Return the one write of this correction."""
        stripe_id = str(self.correction.invoice.stripe_invoice_id)
        expectation = expectations.correct(self.correction, stripe_id)
        return Write(0, _request(self.document), expectation, look=self.look, id_of=_id_of)

    def end(self, status: CorrectionStatus, outcome: str) -> None:
        """End the correction, and make the replacement if it stands for one."""
        now = self.clock()
        with transaction.atomic():
            lock_office(self.message.office_id)
            end_correction(self.correction, status, outcome=outcome, actor=self.actor, now=now)
        reach(FailPoint.CORRECTION_ENDED)

    def _was_tried(self) -> bool:
        return OutboxStep.objects.filter(message=self.message, first_sent_at__isnull=False).exists()


def _prepare(message: OutboxMessage, clock: Clock, actor: str) -> _Delivery:
    document = documents.read_correction(message.payload, expected_digest=message.payload_digest)
    rows = Correction.objects.select_related("invoice__office").defer("note", "invoice__internal_note")
    correction = rows.get(outbox_message=message)
    same = document.correction_id == correction.pk and document.kind == correction.kind
    if not same or document.stripe_invoice != correction.invoice.stripe_invoice_id:
        raise StripeObjectUnexpected("the frozen document and the correction differ")
    return _Delivery(message, document, correction, clock, actor)


def _request(document: CorrectionDocument) -> OutboundRequest[Any]:
    invoice, kind = StripeId(document.stripe_invoice), CorrectionKind(document.kind)
    if kind == CorrectionKind.WRITE_OFF:
        return MarkUncollectible(invoice)
    if kind == CorrectionKind.OFFLINE_PAYMENT:
        return PayInvoice(invoice, Settlement.OUT_OF_BAND)
    if kind == CorrectionKind.RETRY:
        return PayInvoice(invoice)
    if kind == CorrectionKind.CREDIT:
        amount = Cents(document.amount_cents or 0)
        return CreateCreditNote(
            invoice,
            OwnId(document.correction_id),
            amount,
            CreditReason(document.reason),
            refund=amount if document.payback == PaybackChannel.STRIPE else None,
            out_of_band=amount if document.payback == PaybackChannel.OUT_OF_BAND else None,
        )
    return VoidInvoice(invoice)


def _invoice(invoice_id: UUID) -> Invoice:
    return Invoice.objects.select_related("office").defer("internal_note").get(pk=invoice_id)


def _money(invoice: Invoice) -> InvoiceMoney:
    return money_of([invoice])[invoice.pk]


def _id_of(reply: Any) -> StripeId:
    stripe_id: StripeId = reply.id
    return stripe_id
