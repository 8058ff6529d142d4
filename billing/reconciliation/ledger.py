"""Charges, documents and messages of ours that do not belong together: one query for each question."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from billing.discrepancies import Evidence
from billing.documents import DocumentUnreadable, read_invoice
from billing.expectations import ledger_items
from billing.models import (
    LINE_TOTAL,
    CorrectionStatus,
    DiscrepancyKind,
    Invoice,
    InvoiceOrigin,
    InvoiceStatus,
    LineItem,
    MessageKind,
    MessageStatus,
    OutboxMessage,
    ReconciliationRun,
    RepairKind,
)
from billing.reconciliation import scope
from billing.reconciliation.compare_lines import what_differs
from billing.reconciliation.finding import Finding
from billing.reconciliation.sides import Line
from offices.models import OfficeStripeAccount

Kind = DiscrepancyKind

# A message is tried again for hours when Stripe is away; a day without a try means that no worker runs.
STUCK_AFTER = timedelta(days=1)


def changed_lines(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield the closed invoices whose lines are no longer those of the document that was frozen with them."""
    invoices = scope.invoices(run).exclude(status=InvoiceStatus.CANCELED)
    ids = invoices.order_by().annotate(owed=_line_sum()).exclude(owed=F("total_cents")).values_list("pk", flat=True)
    for invoice in Invoice.objects.filter(pk__in=list(ids)).select_related("cycle").defer("internal_note"):
        ledger = [
            Line(item.text.value, item.unit_price_cents, item.quantity, item.quantity * item.unit_price_cents)
            for item in ledger_items(invoice)
        ]
        kind = what_differs(_frozen(invoice), ledger) or Kind.TOTAL
        cents = sum(line.amount_cents for line in ledger)
        yield _of_invoice(
            kind,
            invoice,
            RepairKind.LOOK,
            amount=abs(cents - (invoice.total_cents or 0)),
            ours={"total_cents": invoice.total_cents, "lines_cents": cents},
        )


def charges_without_invoice(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield invoices that were closed and never queued for Stripe, live lines on canceled ones, and unclosed months."""
    queued = OutboxMessage.objects.filter(kind=MessageKind.INVOICE, invoice=OuterRef("pk"))
    live = LineItem.objects.filter(invoice=OuterRef("pk"), live=True).exclude(unit_price_cents=0)
    closed = scope.invoices(run)
    canceled = Q(status=InvoiceStatus.CANCELED)
    never_queued = closed.filter(~canceled & ~Exists(queued), stripe_invoice_id__isnull=True)
    left_alive = closed.filter(canceled & Exists(live))
    unclosed = Invoice.objects.filter(
        Exists(live), cycle__in=scope.cycles(run), closed_at__isnull=True, origin=InvoiceOrigin.LIVE
    ).exclude(canceled)
    for code, invoices in (("never_queued", never_queued), ("canceled", left_alive), ("not_closed", unclosed)):
        for invoice in invoices.select_related("cycle").defer("internal_note").iterator():
            yield _of_invoice(
                Kind.CHARGE_WITHOUT_INVOICE,
                invoice,
                RepairKind.SEND if code == "never_queued" else RepairKind.LOOK,
                amount=invoice.total_cents or 0,
                ours={"status": invoice.status, "total_cents": invoice.total_cents, "because": code},
            )


def lines_without_invoice(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield lines whose invoice is not there: only a hand in the database can do that."""
    if run.office_id is not None or run.since is not None:
        return
    lines = LineItem.objects.filter(~Exists(Invoice.objects.filter(pk=OuterRef("invoice_id"))))
    lines = lines.filter(cycle_key=run.cycle_key) if run.cycle_key else lines
    for line in lines.iterator():
        yield Finding(
            Kind.CHARGE_WITHOUT_INVOICE,
            f"line:{line.pk}",
            RepairKind.LOOK,
            amount_cents=abs(line.quantity * line.unit_price_cents),
            ours={"because": "invoice_missing", "invoice": str(line.invoice_id)},
            cycle_key=line.cycle_key or "",
        )


def orphan_messages(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield messages that nobody delivers any more, or that say something else than their invoice."""
    for code, messages in _orphans(run):
        for message in messages.select_related("invoice__cycle").defer("payload", "invoice__internal_note").iterator():
            yield Finding(
                Kind.ORPHAN_MESSAGE,
                f"message:{message.pk}",
                RepairKind.SEND if code in {"dead", "parked", "stuck"} else RepairKind.LOOK,
                amount_cents=(message.invoice.total_cents or 0) if message.invoice else 0,
                ours={"kind": message.kind, "status": message.status, "error": message.error_code, "because": code},
                office_id=message.office_id,
                invoice_id=message.invoice_id,
                cycle_key=scope.month_of(message.invoice) if message.invoice else "",
            )


def _orphans(run: ReconciliationRun) -> Iterator[tuple[str, QuerySet[OutboxMessage]]]:
    messages = scope.messages(run)
    is_invoice, waits = Q(kind=MessageKind.INVOICE), Q(status__in=[MessageStatus.PENDING, MessageStatus.LEASED])
    yield "dead", messages.filter(status=MessageStatus.DEAD).exclude(_is_over())
    yield "parked", messages.filter(status=MessageStatus.PARKED)
    settled = [InvoiceStatus.PAID, InvoiceStatus.CANCELED]
    yield "settled", messages.filter(is_invoice & waits, invoice__status__in=settled)
    yield (
        "stuck",
        messages.filter(
            waits, next_attempt_at__lt=run.started_at - STUCK_AFTER, office__parked_at__isnull=True
        ).exclude(is_invoice, invoice__status__in=settled),
    )
    yield (
        "not_recorded",
        messages.filter(
            is_invoice,
            status=MessageStatus.DONE,
            done_at__lte=run.started_at,
            invoice__status=InvoiceStatus.DRAFT,
            invoice__stripe_invoice_id__isnull=True,
        ),
    )


def _is_over() -> Q:
    """Say which dead messages left nothing undone: overtaken by a newer one, or what they asked for is over."""
    customer = OfficeStripeAccount.objects.filter(office=OuterRef("office"))
    newer = OutboxMessage.objects.filter(office=OuterRef("office"), kind=MessageKind.CUSTOMER).exclude(
        status=MessageStatus.DEAD
    )
    over = [CorrectionStatus.DONE, CorrectionStatus.OVERTAKEN, CorrectionStatus.REJECTED, CorrectionStatus.EXPIRED]
    return (
        Q(error_code="superseded")
        | Q(kind=MessageKind.CORRECTION, correction__status__in=over)
        | Q(kind=MessageKind.INVOICE, invoice__status=InvoiceStatus.CANCELED)
        | (Q(kind=MessageKind.CUSTOMER) & (Q(Exists(customer)) | Q(Exists(newer))))
    )


def _line_sum() -> Any:
    lines = LineItem.objects.filter(invoice=OuterRef("pk"), live=True).order_by().values("invoice")
    return Coalesce(Subquery(lines.annotate(cents=Sum(LINE_TOTAL)).values("cents")), 0)


def _frozen(invoice: Invoice) -> list[Line]:
    message = OutboxMessage.objects.filter(kind=MessageKind.INVOICE, invoice=invoice).first()
    if message is None:
        return []
    try:
        document = read_invoice(message.payload, expected_digest=message.payload_digest)
    except DocumentUnreadable:
        return []
    return [
        Line(item.item_type, item.unit_price_cents, item.quantity, item.unit_price_cents * item.quantity)
        for item in document.items
    ]


def _of_invoice(kind: Kind, invoice: Invoice, repair: RepairKind, *, amount: int, ours: Evidence) -> Finding:
    return Finding(
        kind,
        f"invoice:{invoice.pk}",
        repair,
        amount_cents=amount,
        ours=ours,
        office_id=invoice.office_id,
        invoice_id=invoice.pk,
        cycle_key=scope.month_of(invoice),
    )
