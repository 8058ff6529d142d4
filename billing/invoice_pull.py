"""Fetch what Stripe knows of one invoice now, and bring our rows to it: what events, repairs and silence all do.

Everything is fetched first, then applied in one transaction over the version that was read before asking.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from billing import expectations, payment_rows, payment_status
from billing.fail_points import FailPoint, reach
from billing.models import Invoice, InvoiceStatus, OutboxMessage, Payment
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundInvoice, InboundPage, InboundPayment, PaymentState
from billing.stripe_gateway.inbound_money import InboundCreditNote, InboundDispute, InboundPaymentIntent, InboundRefund
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import OutboundRequest, RetrieveInvoice
from billing.stripe_gateway.outbound_reads import (
    ListCreditNotes,
    ListDisputes,
    ListInvoicePayments,
    ListRefunds,
    RetrievePaymentIntent,
)
from billing.stripe_gateway.outbound_values import StripeId
from offices.locking import lock_office

Clock = Callable[[], datetime]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class SeenMoney:
    """All that Stripe shows of one invoice."""

    invoice: InboundInvoice
    payments: tuple[InboundPayment, ...] = ()
    intents: tuple[InboundPaymentIntent, ...] = ()
    refunds: tuple[InboundRefund, ...] = ()
    disputes: tuple[InboundDispute, ...] = ()
    credit_notes: tuple[InboundCreditNote, ...] = ()


def pull_invoice(
    invoice: Invoice, *, actor: str, clock: Clock, money_back: bool = False, message: OutboxMessage | None = None
) -> InvoiceStatus:
    """Bring the invoice and its payments to what Stripe shows; with `money_back` refunds, disputes and credits too.

    `invoice` is as it was read before the call: what changed meanwhile raises VersionChanged. Raises what
    `call_stripe` raises, InvoiceDiffers, and the office lock's OfficeBusy.
    """
    seen = fetch(str(invoice.stripe_invoice_id), money_back=money_back, message=message)
    reach(FailPoint.EVENTS_FETCHED)
    now = clock()
    with transaction.atomic():
        lock_office(invoice.office_id)
        status = payment_status.apply(
            invoice_id=invoice.pk, seen=seen.invoice, actor=actor, now=now, read_version=invoice.version
        )
        _record(invoice.pk, seen, actor=actor, now=now)
    return status


def fetch(stripe_invoice_id: str, *, money_back: bool, message: OutboxMessage | None = None) -> SeenMoney:
    """Ask Stripe for the invoice, for every payment of it, and for the bank debits that are under way."""
    invoice = call_stripe(
        RetrieveInvoice(StripeId(stripe_invoice_id)),
        expectation=expectations.on_invoice(Operation.RETRIEVE_INVOICE, stripe_invoice_id),
        message=message,
    )
    payments = invoice.payments
    if invoice.payments_have_more:
        payments = tuple(_all_of(Operation.LIST_INVOICE_PAYMENTS, "invoice", invoice.id, ListInvoicePayments, message))
    # Whatever became of the invoice: a bank debit goes on after a write-off, or when checks paid it meanwhile.
    intents = [
        _intent(payment.payment_intent_id, message)
        for payment in payments
        if invoice.attempted and payment.status == PaymentState.OPEN and payment.payment_intent_id
    ]
    seen = SeenMoney(invoice, payments, tuple(intents))
    return _with_money_back(seen, message) if money_back else seen


def _with_money_back(seen: SeenMoney, message: OutboxMessage | None) -> SeenMoney:
    paid_by = [
        payment.payment_intent_id
        for payment in seen.payments
        if payment.status == PaymentState.PAID and payment.payment_intent_id
    ]
    of_intent = "payment_intent"
    refunds = [r for i in paid_by for r in _all_of(Operation.LIST_REFUNDS, of_intent, i, ListRefunds, message)]
    disputes = [d for i in paid_by for d in _all_of(Operation.LIST_DISPUTES, of_intent, i, ListDisputes, message)]
    notes = _all_of(Operation.LIST_CREDIT_NOTES, "invoice", seen.invoice.id, ListCreditNotes, message)
    return SeenMoney(seen.invoice, seen.payments, seen.intents, tuple(refunds), tuple(disputes), tuple(notes))


def _all_of(
    operation: Operation,
    name: str,
    stripe_id: StripeId,
    request: Callable[[StripeId, StripeId | None], OutboundRequest[InboundPage[Item]]],
    message: OutboxMessage | None,
) -> Iterable[Item]:
    after: StripeId | None = None
    while True:
        expectation = expectations.listed_of(operation, name, str(stripe_id), str(after) if after else None)
        page = call_stripe(request(stripe_id, after), expectation=expectation, message=message)
        yield from page.items
        after = page.next_after
        if after is None:
            return


def _intent(intent: StripeId, message: OutboxMessage | None) -> InboundPaymentIntent:
    expectation = expectations.retrieve(Operation.RETRIEVE_PAYMENT_INTENT, "{payment_intent}", str(intent))
    return call_stripe(RetrievePaymentIntent(intent), expectation=expectation, message=message)


def _record(invoice_id: UUID, seen: SeenMoney, *, actor: str, now: datetime) -> None:
    invoice = Invoice.objects.select_related("office").defer("internal_note").get(pk=invoice_id)
    payment_rows.record_payments(invoice, seen.invoice, payments=seen.payments, actor=actor, now=now)
    by_intent = {payment.payment_intent_id: payment for payment in Payment.objects.filter(invoice=invoice)}
    for intent in seen.intents:
        if str(intent.id) in by_intent:
            payment_rows.record_intent(by_intent[str(intent.id)], intent, now=now)
    for refund in seen.refunds:
        payment_rows.record_refund(invoice, refund, actor=actor, now=now)
    for dispute in seen.disputes:
        payment_rows.record_dispute(invoice, dispute, actor=actor, now=now)
    for note in seen.credit_notes:
        payment_rows.record_credit_note(invoice, note, actor=actor, now=now)
