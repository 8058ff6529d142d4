"""Read a chunk of invoices from our tables, and what this run has listed of them, in a dozen queries.

What changed here after Stripe was asked is left for the next run: the copy is older than our books.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from billing.customers import CUSTOMER_CONTEXT
from billing.documents import DocumentUnreadable, read_invoice
from billing.models import (
    CopyKind,
    CreditNote,
    Dispute,
    EventStatus,
    Invoice,
    InvoiceStatus,
    MessageKind,
    MessageStatus,
    OutboxMessage,
    Payment,
    PaymentChannel,
    PaymentStatus,
    ReconciliationRun,
    Refund,
    StripeEvent,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)
from billing.reconciliation import scope
from billing.reconciliation.copies import index_of
from billing.reconciliation.sides import Line, Money, Ours, Theirs
from billing.stripe_gateway.outbound_values import StripeId
from offices.encryption import blind_index
from offices.models import OfficeStripeAccount

# Longer than any delivery or event takes that nothing is wrong with.
LATE_AFTER = timedelta(hours=1)
_AT_WORK = (MessageStatus.PENDING, MessageStatus.LEASED)
_NOT_APPLIED = (EventStatus.PENDING, EventStatus.QUARANTINED, EventStatus.DEAD)
_DELETED = "invoice.deleted"


@dataclass(slots=True)
class Chunk:
    """The invoices of a chunk with all that the comparison needs, each list read once."""

    run: ReconciliationRun
    invoices: Sequence[Invoice]
    copies: dict[UUID, StripeInvoiceCopy] = field(default_factory=dict)
    money: dict[str, list[StripeMoneyCopy]] = field(default_factory=dict)

    def pairs(self, *, also_changed: bool = False) -> Iterable[tuple[Ours, Theirs | None]]:
        """Yield both sides of each invoice, those that changed here meanwhile only when asked for."""
        ours = _OurSide(self)
        for invoice in self.invoices:
            copy = self.copies.get(invoice.pk)
            if also_changed or not self._is_newer(invoice, copy, ours.messages.get(invoice.pk)):
                yield ours.of(invoice, copy), None if copy is None else self._theirs(copy)

    def _is_newer(self, invoice: Invoice, copy: StripeInvoiceCopy | None, message: OutboxMessage | None) -> bool:
        if copy is not None:
            return invoice.updated_at > copy.seen_at
        delivered_at = message.done_at if message else None
        return delivered_at is not None and delivered_at > self.run.started_at

    def _theirs(self, copy: StripeInvoiceCopy) -> Theirs:
        return Theirs(
            id=copy.pk,
            own_invoice_id=copy.own_invoice_id,
            own_cycle_key=copy.own_cycle_key,
            own_kind=copy.own_kind,
            customer_index=copy.customer_index,
            status=copy.status,
            currency=copy.currency,
            total_cents=copy.total_cents,
            paid_cents=copy.amount_paid_cents,
            overpaid_cents=copy.overpaid_cents,
            attempt_count=copy.attempt_count,
            lines=tuple(Line(*row) for row in json.loads(copy.lines)),
            is_old=copy.created <= self.run.started_at - LATE_AFTER,
            finalization_failed=copy.finalization_failed,
            unreadable_field=copy.unreadable_field,
            foreign_fields=_split(copy.foreign_fields),
            foreign_codes=_split(copy.foreign_codes),
            money=_money_there(self.money.get(copy.pk, [])),
        )


def read_chunk(run: ReconciliationRun, invoices: Sequence[Invoice]) -> Chunk:
    """Find what the run has listed of these invoices: by the id that we know, else by our id in their metadata."""
    by_stripe_id = {invoice.stripe_invoice_id: invoice.pk for invoice in invoices if invoice.stripe_invoice_id}
    nameless = [invoice.pk for invoice in invoices if not invoice.stripe_invoice_id]
    listed = StripeInvoiceCopy.objects.filter(run=run)
    copies = {by_stripe_id[copy.pk]: copy for copy in listed.filter(pk__among=list(by_stripe_id))}
    # The oldest one that names us; the others are duplicates.
    for copy in listed.filter(own_invoice_id__among=nameless).exclude(status="void").order_by("-created"):
        if copy.own_invoice_id is not None:
            copies[copy.own_invoice_id] = copy
    return Chunk(run, invoices, copies, _money_of(run, [copy.pk for copy in copies.values()]))


def _money_of(run: ReconciliationRun, stripe_ids: list[str]) -> dict[str, list[StripeMoneyCopy]]:
    """Return what hangs on these invoices at Stripe; refunds and disputes hang on a payment's intent."""
    listed = StripeMoneyCopy.objects.filter(run=run, unreadable_field="")
    found: dict[str, list[StripeMoneyCopy]] = defaultdict(list)
    for copy in listed.filter(stripe_invoice_id__among=stripe_ids):
        found[copy.stripe_invoice_id].append(copy)
    invoice_of = {
        copy.payment_intent_id: copy.stripe_invoice_id
        for copies in found.values()
        for copy in copies
        if copy.kind == CopyKind.PAYMENT and copy.payment_intent_id
    }
    by_intent = listed.filter(payment_intent_id__among=list(invoice_of), stripe_invoice_id="")
    for copy in by_intent:
        found[invoice_of[copy.payment_intent_id]].append(copy)
    return found


def _money_there(copies: Iterable[StripeMoneyCopy]) -> Money:
    moves: dict[str, dict[str, tuple[str, int]]] = defaultdict(dict)
    payments: dict[str, int] = {}
    for copy in copies:
        if copy.kind == CopyKind.PAYMENT:
            if copy.status == PaymentStatus.PAID:
                payments[copy.pk] = copy.amount_cents
        else:
            moves[copy.kind][copy.pk] = (copy.status, copy.amount_cents)
    return Money(payments, moves[CopyKind.REFUND], moves[CopyKind.DISPUTE], moves[CopyKind.CREDIT_NOTE])


class _OurSide:
    """The rows of ours that hang on the invoices of a chunk."""

    def __init__(self, chunk: Chunk) -> None:
        ids = [invoice.pk for invoice in chunk.invoices]
        self._chunk = chunk
        self.messages = {
            message.invoice_id: message
            for message in OutboxMessage.objects.filter(kind=MessageKind.INVOICE, invoice__among=ids)
        }
        self._indexes = _customer_indexes({invoice.office_id for invoice in chunk.invoices})
        self._payments, self._outside = _payments(ids)
        self._refunds = _moves(Refund.objects.filter(invoice__among=ids), "stripe_refund_id")
        self._disputes = _moves(Dispute.objects.filter(invoice__among=ids), "stripe_dispute_id")
        self._notes = _moves(CreditNote.objects.filter(invoice__among=ids), "stripe_credit_note_id")
        self._deleted, self._late = _events(chunk)

    def of(self, invoice: Invoice, copy: StripeInvoiceCopy | None) -> Ours:
        message = self.messages.get(invoice.pk)
        money = Money(
            self._payments.get(invoice.pk, {}),
            self._refunds.get(invoice.pk, {}),
            self._disputes.get(invoice.pk, {}),
            self._notes.get(invoice.pk, {}),
        )
        stripe_id = invoice.stripe_invoice_id
        seen_ids = {stripe_id, *(each.pk for each in self._chunk.money.get(copy.pk if copy else "", []))}
        return Ours(
            id=invoice.pk,
            office_id=invoice.office_id,
            month=scope.month_of(invoice),
            cycle_key=invoice.cycle.key if invoice.cycle else "",
            kind=invoice.invoice_type,
            status=invoice.status,
            total_cents=invoice.total_cents or 0,
            currency=invoice.currency,
            stripe_id=stripe_id,
            customer_index=self._indexes.get(invoice.office_id, ""),
            lines=_lines_sent(message),
            is_waiting=message is not None and message.status in _AT_WORK,
            is_written_off=invoice.written_off_at is not None and invoice.status == InvoiceStatus.FAILED,
            overpaid_cents=invoice.overpaid_cents,
            out_of_band_cents=self._outside.get(invoice.pk, 0),
            money=money,
            is_deleted_there=stripe_id in self._deleted,
            is_late=bool(self._late & seen_ids),
        )


def _customer_indexes(office_ids: set[UUID]) -> dict[UUID, str]:
    """Return the index of each office's customer under the first key, as the copies have it."""
    accounts = OfficeStripeAccount.objects.filter(office__among=list(office_ids))
    first_key = blind_index("", context=CUSTOMER_CONTEXT).key_id
    # Only amid a rotation is there an index of an older key; then the id itself is read.
    older = accounts.exclude(customer_index_key=first_key)
    again = {account.office_id: index_of(StripeId(str(account.customer_id))) for account in older}
    return dict(accounts.values_list("office", "customer_index")) | again


def _payments(ids: list[UUID]) -> tuple[dict[UUID, dict[str, int]], dict[UUID, int]]:
    through: dict[UUID, dict[str, int]] = defaultdict(dict)
    outside: dict[UUID, int] = {}
    paid = Payment.objects.filter(invoice__among=ids, status=PaymentStatus.PAID)
    for payment in paid:
        if payment.channel == PaymentChannel.OUT_OF_BAND:
            outside[payment.invoice_id] = payment.amount_paid_cents
        else:
            through[payment.invoice_id][str(payment.stripe_payment_id)] = payment.amount_paid_cents
    return through, outside


def _moves(rows: QuerySet[Any], id_field: str) -> dict[UUID, dict[str, tuple[str, int]]]:
    found: dict[UUID, dict[str, tuple[str, int]]] = defaultdict(dict)
    for invoice_id, stripe_id, status, cents in rows.values_list("invoice", id_field, "status", "amount_cents"):
        found[invoice_id][stripe_id] = (status, cents)
    return found


def _events(chunk: Chunk) -> tuple[set[str], set[str]]:
    """Return the ids of invoices that Stripe told were deleted, and of objects whose news waits for too long."""
    ids = {invoice.stripe_invoice_id or "" for invoice in chunk.invoices} - {""}
    ids |= {copy.pk for copies in chunk.money.values() for copy in copies}
    about = StripeEvent.objects.filter(object_id__among=list(ids))
    late = about.filter(status__in=_NOT_APPLIED, created__lt=chunk.run.started_at - LATE_AFTER)
    return (
        set(about.filter(event_type=_DELETED).values_list("object_id", flat=True)),
        set(late.values_list("object_id", flat=True)),
    )


def _lines_sent(message: OutboxMessage | None) -> tuple[Line, ...] | None:
    if message is None:
        return None
    try:
        document = read_invoice(message.payload, expected_digest=message.payload_digest)
    except DocumentUnreadable:
        return None  # changed behind our back: found by the nightly comparison with the log, and never sent
    return tuple(
        Line(item.item_type, item.unit_price_cents, item.quantity, item.unit_price_cents * item.quantity)
        for item in document.items
    )


def _split(joined: str) -> tuple[str, ...]:
    return tuple(name for name in joined.split(",") if name)
