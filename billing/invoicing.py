"""Close invoices: freeze their lines and totals, settle what owes nothing, queue the rest for Stripe.

One way for one invoice and for a chunk of five hundred. The caller holds the office locks.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from audit.bulk_rows import insert_all, update_all
from audit.chain import Fact, record_many
from billing.customers import queue_customers
from billing.documents import DocumentItem, InvoiceDocument
from billing.fail_points import FailPoint, reach
from billing.models import (
    LINE_TOTAL,
    Invoice,
    InvoiceStatus,
    LineItem,
    MessageKind,
    SettlementReason,
)
from billing.outbox import new_message
from billing.wake_up import Bell, ring_after_commit
from offices.audit_stream import office_stream
from offices.models import Office, OfficeStatus


class InvoiceAlreadyClosed(Exception):
    """The invoice is frozen; what comes now belongs on another document."""


@dataclass(frozen=True, slots=True)
class ClosedInvoices:
    """What a close did. `billed` is cents by currency; settled invoices owe nothing and were not queued."""

    count: int = 0
    billed: dict[str, int] = field(default_factory=dict)


def close_invoices(invoice_ids: Sequence[UUID], *, actor: str, now: datetime) -> ClosedInvoices:
    """Freeze these drafts, settle the zero ones as paid (product.md rule 9) and queue the others.

    Raises InvoiceAlreadyClosed when one of them is not an open draft.
    """
    drafts = Invoice.objects.filter(pk__among=invoice_ids, status=InvoiceStatus.DRAFT, closed_at__isnull=True)
    frozen = drafts.update(
        total_cents=_sum_of_lines(),
        collection_method=_terms("collection_method"),
        days_until_due=_terms("days_until_due"),
        closed_at=now,
        updated_at=now,
    )
    if frozen != len(invoice_ids):
        raise InvoiceAlreadyClosed("an invoice to close is not an open draft")
    reach(FailPoint.RUN_INVOICES_CLOSED)
    stored = Invoice.objects.filter(pk__among=invoice_ids)
    closed = list(stored.select_related("office", "cycle").defer("internal_note"))
    lines, items = _summed(closed)
    _settle([invoice for invoice in closed if invoice.total_cents == 0], now)
    _queue([invoice for invoice in closed if invoice.total_cents], items, actor=actor, now=now)
    reach(FailPoint.RUN_MESSAGES_QUEUED)
    record_many([fact for each in closed for fact in _facts(each, lines[each.pk])], actor=actor, now=now)
    billed: dict[str, int] = defaultdict(int)
    for invoice in closed:
        billed[invoice.currency] += invoice.total_cents or 0
    return ClosedInvoices(len(closed), dict(billed))


def _sum_of_lines() -> Coalesce:
    lines = LineItem.objects.filter(invoice=OuterRef("pk"), live=True).order_by().values("invoice")
    return Coalesce(Subquery(lines.annotate(total=Sum(LINE_TOTAL)).values("total")), Value(0))


def _terms(field: str) -> Coalesce:
    """Return how Stripe collects: a replacement as the invoice it stands in for, all others as the office pays now."""
    replaced = Invoice.objects.filter(pk=OuterRef("replaces")).values(field)
    return Coalesce(Subquery(replaced), Subquery(Office.objects.filter(pk=OuterRef("office")).values(field)))


def _settle(invoices: Sequence[Invoice], now: datetime) -> None:
    for invoice in invoices:
        invoice.status, invoice.paid_at = InvoiceStatus.PAID, now
        invoice.settlement_reason = _settlement_reason(invoice)
        invoice.version += 1
    update_all(invoices, ["status", "paid_at", "settlement_reason", "version"])


def _settlement_reason(invoice: Invoice) -> SettlementReason:
    trial = invoice.cycle is not None and invoice.cycle.status == OfficeStatus.TRIALING
    return SettlementReason.TRIAL if trial else SettlementReason.NOTHING_DUE


def _queue(
    invoices: Sequence[Invoice], items: Mapping[UUID, Sequence[DocumentItem]], *, actor: str, now: datetime
) -> None:
    if not invoices:
        return
    insert_all(
        [
            new_message(
                MessageKind.INVOICE, invoice.office, _document(invoice, items[invoice.pk]), now=now, invoice=invoice
            )
            for invoice in invoices
        ]
    )
    queue_customers({invoice.office_id for invoice in invoices}, actor=actor, now=now)
    ring_after_commit(Bell.OUTBOX)


def _summed(invoices: Sequence[Invoice]) -> tuple[Counter[UUID], dict[UUID, list[DocumentItem]]]:
    """Count the live lines, and aggregate them: one item per item type and unit price, nothing finer ever leaves."""
    rows = (
        LineItem.objects.filter(invoice__among=[invoice.pk for invoice in invoices], live=True)
        .values_list("invoice", "item_type", "unit_price_cents")
        .annotate(quantity=Sum("quantity"), number=Count("pk"))
        .order_by("invoice", "item_type", "unit_price_cents")
    )
    lines: Counter[UUID] = Counter()
    items: dict[UUID, list[DocumentItem]] = defaultdict(list)
    for invoice_id, item_type, unit_price_cents, quantity, number in rows:
        lines[invoice_id] += number
        if unit_price_cents:  # what costs nothing is explained here, not at Stripe
            items[invoice_id].append(DocumentItem(item_type, unit_price_cents, quantity))
    return lines, items


def _document(invoice: Invoice, items: Sequence[DocumentItem]) -> InvoiceDocument:
    office = invoice.office
    return InvoiceDocument(
        invoice=str(invoice.pk),
        office=str(office.pk),
        invoice_type=invoice.invoice_type,
        cycle=invoice.cycle.key if invoice.cycle else None,
        currency=invoice.currency.lower(),
        collection_method=invoice.collection_method,
        days_until_due=invoice.days_until_due or 0,
        items=tuple(items),
        total_cents=invoice.total_cents or 0,
    )


def _facts(invoice: Invoice, lines: int) -> list[Fact]:
    stream = office_stream(invoice.office.reference)
    closed = Fact(
        stream,
        "invoice.closed",
        {
            "invoice": str(invoice.pk),
            "type": invoice.invoice_type,
            "cycle": invoice.cycle.key if invoice.cycle else None,
            "total_cents": invoice.total_cents,
            "currency": invoice.currency,
            "lines": lines,
        },
    )
    if invoice.status != InvoiceStatus.PAID:
        return [closed]
    moved = {
        "invoice": str(invoice.pk),
        "from": InvoiceStatus.DRAFT,
        "to": InvoiceStatus.PAID,
        "reason": invoice.settlement_reason,
    }
    return [closed, Fact(stream, "invoice.status_changed", moved)]
