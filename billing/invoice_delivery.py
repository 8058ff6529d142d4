"""Take one closed invoice to Stripe: draft, aggregate items, compare the total, only then finalize.

Stripe is told once per cycle, in aggregate (architecture.md). Writes: one for the draft, one for each item type and
unit price, one to finalize; and one read, to compare the total before it becomes payable. (`add_lines` would take
all items in one write, but wants a product at Stripe for each, which could not be tried against live Stripe.)
"""

from dataclasses import dataclass

from django.db import transaction

from billing import documents, expectations, payment_status
from billing.delivery_steps import (
    Clock,
    StripeObjectUnexpected,
    StripeTotalDiffers,
    Write,
    hold,
    perform,
)
from billing.documents import DocumentItem, InvoiceDocument
from billing.expectations import LedgerItem
from billing.models import Invoice, OutboxMessage, OutboxStep
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundInvoice, InboundInvoiceItem, InboundLine, InvoiceState
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import (
    CreateInvoice,
    CreateInvoiceItem,
    FinalizeInvoice,
    ListInvoiceLines,
    ListInvoices,
    RetrieveInvoice,
)
from billing.stripe_gateway.outbound_values import (
    Cents,
    CollectionMethod,
    Count,
    Currency,
    Cycle,
    InvoiceKind,
    LineText,
    OwnId,
    StripeId,
)
from billing.stripe_gateway.replies import StripeReplyUnusable
from offices.locking import lock_office
from offices.models import OfficeStripeAccount


def deliver_invoice(message: OutboxMessage, clock: Clock, *, actor: str) -> None:
    """Bring the invoice to Stripe exactly once and record what came of it. Raises what `perform` raises."""
    delivery = _prepare(message)
    stripe_id = perform(message, delivery.draft(), clock).object_id
    _remember_stripe_id(delivery, stripe_id, clock)
    for position in range(len(delivery.document.items)):
        perform(message, delivery.item(position, stripe_id), clock)
    seen = delivery.retrieve(stripe_id)
    _compare(seen, delivery)
    if seen.status == InvoiceState.DRAFT:
        reply = perform(message, delivery.finalization(stripe_id), clock).reply
        seen = reply if isinstance(reply, InboundInvoice) else delivery.retrieve(stripe_id)
        _compare(seen, delivery)
        if seen.status == InvoiceState.DRAFT:
            # Finalized, says the status code, and draft, says the body: ask again before we believe either.
            raise StripeReplyUnusable("still_draft", ambiguous=True)
    _record_sent(delivery, seen, clock, actor=actor)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The frozen document, and beside it the ledger that the guard compares it with."""

    message: OutboxMessage
    document: InvoiceDocument
    invoice: Invoice
    items: list[LedgerItem]
    customer_id: str

    def draft(self) -> Write:
        """Open the empty draft; look for one that carries our invoice's id."""
        by_mail = self.document.collection_method == CollectionMethod.SEND_INVOICE.value
        request = CreateInvoice(
            customer=StripeId(self.customer_id),
            invoice=OwnId(self.document.invoice_id),
            cycle=Cycle(self.document.cycle) if self.document.cycle else None,
            kind=InvoiceKind(self.document.invoice_type),
            currency=Currency(self.document.currency),
            collection_method=CollectionMethod(self.document.collection_method),
            days_until_due=Count(self.document.days_until_due) if by_mail else None,
        )
        expectation = expectations.create_invoice(self.invoice, self.customer_id)
        return Write(0, request, expectation, look=self._look_for_invoice, id_of=_id_of_invoice)

    def item(self, position: int, stripe_id: str) -> Write:
        """Put one aggregate on the draft; look for a line of the same text and price."""
        item, expected = self.document.items[position], self.items[position]
        request = CreateInvoiceItem(
            customer=StripeId(self.customer_id),
            invoice=StripeId(stripe_id),
            text=LineText(item.item_type),
            quantity=Count(item.quantity),
            unit_amount=Cents(item.unit_price_cents),
            currency=Currency(self.document.currency),
        )
        return Write(
            position + 1,
            request,
            expectations.create_invoice_item(self.invoice, expected, self.customer_id, stripe_id),
            look=lambda _step: self._look_for_line(stripe_id, item),
            id_of=_id_of_item,
        )

    def finalization(self, stripe_id: str) -> Write:
        """Make the draft payable; look whether it already is."""
        return Write(
            len(self.document.items) + 1,
            FinalizeInvoice(StripeId(stripe_id)),
            expectations.on_invoice(Operation.FINALIZE_INVOICE, stripe_id),
            look=lambda _step: self._look_for_finalized(stripe_id),
            id_of=_id_of_invoice,
        )

    def retrieve(self, stripe_id: str) -> InboundInvoice:
        """Fetch the invoice as it is now."""
        return call_stripe(
            RetrieveInvoice(StripeId(stripe_id)),
            expectation=expectations.on_invoice(Operation.RETRIEVE_INVOICE, stripe_id),
            message=self.message,
        )

    def _look_for_invoice(self, _step: OutboxStep) -> str | None:
        after: str | None = None
        while True:
            page = call_stripe(
                ListInvoices(StripeId(self.customer_id), StripeId(after) if after else None),
                expectation=expectations.list_invoices(self.customer_id, after),
                message=self.message,
            )
            for found in page.items:
                if found.own_invoice_id == self.invoice.pk:
                    return str(found.id)  # void too: `_compare` parks it, since a person took it back
                if self._stands_for_the_same(found):
                    raise StripeObjectUnexpected("another invoice stands for the same month or fee")
            if page.next_after is None:
                return None
            after = str(page.next_after)

    def _stands_for_the_same(self, found: InboundInvoice) -> bool:
        """An invoice of which a restored database knows nothing: the office must not get its month a second time."""
        if self.document.invoice_type == InvoiceKind.ONE_OFF.value or found.status == InvoiceState.VOID:
            return False
        ours = (InvoiceKind(self.document.invoice_type), Cycle(self.document.cycle) if self.document.cycle else None)
        return (found.own_kind, found.own_cycle) == ours

    def _look_for_line(self, stripe_id: str, item: DocumentItem) -> str | None:
        after: str | None = None
        while True:
            page = call_stripe(
                ListInvoiceLines(StripeId(stripe_id), StripeId(after) if after else None),
                expectation=expectations.list_invoice_lines(stripe_id, after),
                message=self.message,
            )
            for line in page.items:
                if _is(line, item):
                    return str(line.id)
            if page.next_after is None:
                return None
            after = str(page.next_after)

    def _look_for_finalized(self, stripe_id: str) -> str | None:
        return None if self.retrieve(stripe_id).status == InvoiceState.DRAFT else stripe_id


def _prepare(message: OutboxMessage) -> _Delivery:
    document = documents.read_invoice(message.payload, expected_digest=message.payload_digest)
    invoice = Invoice.objects.select_related("cycle", "office").defer("internal_note").get(outbox_messages=message)
    items = expectations.ledger_items(invoice)
    if len(items) != len(document.items) or invoice.total_cents != document.total_cents:
        raise StripeObjectUnexpected("the frozen document and the frozen lines differ")
    return _Delivery(
        message=message,
        document=document,
        invoice=invoice,
        items=items,
        customer_id=OfficeStripeAccount.objects.get(office=invoice.office).customer_id,
    )


def _is(line: InboundLine, item: DocumentItem) -> bool:
    return line.text == LineText(item.item_type) and line.unit_amount_cents == item.unit_price_cents


def _id_of_invoice(reply: InboundInvoice) -> StripeId:
    return reply.id


def _id_of_item(reply: InboundInvoiceItem) -> StripeId:
    return reply.id


def _compare(seen: InboundInvoice, delivery: _Delivery) -> None:
    """Stripe must hold exactly our invoice before it becomes payable; a mismatch parks the office instead."""
    document = delivery.document
    if seen.total_cents != document.total_cents or seen.currency.value != document.currency:
        raise StripeTotalDiffers("Stripe's total is not ours")
    if str(seen.customer_id) != delivery.customer_id or seen.own_invoice_id != delivery.invoice.pk:
        raise StripeObjectUnexpected("Stripe's invoice is not the one we sent")
    if seen.status == InvoiceState.VOID:
        raise StripeObjectUnexpected("the invoice is void at Stripe before it was sent")


def _remember_stripe_id(delivery: _Delivery, stripe_id: str, clock: Clock) -> None:
    """Know the invoice by its Stripe id before it is finalized: webhooks may come before our own commit."""
    hold(delivery.message, clock())
    Invoice.objects.filter(pk=delivery.invoice.pk, stripe_invoice_id__isnull=True).update(stripe_invoice_id=stripe_id)


def _record_sent(delivery: _Delivery, seen: InboundInvoice, clock: Clock, *, actor: str) -> None:
    now = clock()
    with transaction.atomic():
        lock_office(delivery.invoice.office_id)
        # The reply is old when Stripe's own news was faster than we are: then the next try fetches (VersionChanged).
        read_version = delivery.invoice.version
        payment_status.apply(invoice_id=delivery.invoice.pk, seen=seen, actor=actor, now=now, read_version=read_version)
