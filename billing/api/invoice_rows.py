"""Read invoices and their lines as plain rows: scoped to offices, a fixed number of queries, nothing decrypted.

`values()` with named columns, so that the encrypted note is never loaded (performance.md, "Reads").
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, OuterRef, Q, QuerySet, Subquery, Sum, UUIDField, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact

from audit.compiled import Parameter
from billing.api.compiled_pages import CompiledPages
from billing.api.tenants import of_offices
from billing.models import (
    LINE_TOTAL,
    CreditNote,
    CreditNoteStatus,
    Invoice,
    InvoiceStatus,
    LineItem,
    Payment,
    PaymentStatus,
)

Row = dict[str, Any]
Rows = QuerySet[Any, Any]  # of Row

_COLUMNS = ("id", "office_id", "currency", "status", "stripe_invoice_id", "invoice_type", "created_at", "updated_at")
_PAYMENT_COLUMNS = (
    "id",
    "office_id",
    "invoice_type",
    "status",
    "currency",
    "sent_at",
    "due_at",
    "paid_at",
    "failed_at",
)
_FILTERS = {"status": "status", "invoice_type": "invoice_type", "cycle": "cycle__key"}
# A canceled invoice shows the lines it had, though they no longer count as charged.
_SHOWN = Q(live=True) | Q(invoice__status=InvoiceStatus.CANCELED)


def invoice_rows(office_id: UUID | Parameter) -> Rows:
    """Return the office's invoices; the total of an open one is the running sum of its lines."""
    rows: Rows = Invoice.objects.filter(office_id=office_id).values(
        *_COLUMNS,
        start_date=F("cycle__start_date"),
        end_date=F("cycle__end_date"),
        shown_total_cents=_total(),
    )
    return rows


def invoice_pages(office_id: UUID, filters: Mapping[str, str]) -> Any:
    """Return the same to be paged, with the list's filters applied."""
    return CompiledPages(_invoices, tuple(sorted(filters)), {"office": office_id, **filters})


def _invoices(filters: tuple[str, ...]) -> Rows:
    chosen = {_FILTERS[name]: Parameter(name, CharField()) for name in filters}
    return invoice_rows(Parameter("office", UUIDField())).filter(**chosen)


def shown_lines(**conditions: Any) -> QuerySet[LineItem]:
    """Return the lines that an invoice shows: those that count, and of a canceled one those it had."""
    return LineItem.objects.filter(_SHOWN, **conditions)


def line_rows(**conditions: Any) -> Rows:
    """Return lines as rows, with what their descriptions need."""
    return shown_lines(**conditions).values(
        "id",
        "created_at",
        "invoice_id",
        "item_type",
        "cycle_key",
        "patient_reference",
        "quantity",
        "unit_price_cents",
        total_cents=LINE_TOTAL,
        charge_reason=F("invoice__charge_reason"),
        office_id=F("invoice__office_id"),
    )


def row_of_line(line: LineItem, office_id: UUID) -> Row:
    """Return a new line of a monthly invoice as `line_rows` would."""
    return {
        "id": line.pk,
        "invoice_id": line.invoice_id,
        "item_type": line.item_type,
        "cycle_key": line.cycle_key,
        "patient_reference": line.patient_reference,
        "quantity": line.quantity,
        "unit_price_cents": line.unit_price_cents,
        "total_cents": line.quantity * line.unit_price_cents,
        "charge_reason": "",
        "office_id": office_id,
        "created_at": line.created_at,
    }


def payment_row(office_ids: Collection[UUID] | None, invoice_id: UUID) -> Row | None:
    """Return what decides an invoice's payment state, or None when these offices have no such invoice."""
    paid = Payment.objects.filter(invoice=OuterRef("pk"), status=PaymentStatus.PAID).order_by().values("invoice")
    notes = CreditNote.objects.filter(invoice=OuterRef("pk"), status=CreditNoteStatus.ISSUED)
    issued = notes.order_by().values("invoice")
    rows = of_offices(Invoice.objects.filter(pk=invoice_id), office_ids).values(
        *_PAYMENT_COLUMNS,
        shown_total_cents=_total(),
        paid_cents=Coalesce(Subquery(paid.annotate(paid=Sum("amount_paid_cents")).values("paid")), Value(0)),
        taken_off_cents=Coalesce(Subquery(issued.annotate(off=Sum("before_payment_cents")).values("off")), Value(0)),
    )
    row: Row | None = rows.first()
    return row


def amount_due(row: Mapping[str, Any]) -> int:
    """Return the cents that are still to be paid; nothing on an invoice that is paid or canceled."""
    if row["status"] in {InvoiceStatus.PAID, InvoiceStatus.CANCELED}:
        return 0
    due: int = row["shown_total_cents"] - row["paid_cents"] - row["taken_off_cents"]
    return max(due, 0)


def _total() -> Coalesce:
    """Return the frozen total, or else the sum of the lines; only open invoices are summed."""
    shown = Q(live=True) | Q(Exact(OuterRef("status"), Value(InvoiceStatus.CANCELED)))  # as _SHOWN, without a join
    lines = LineItem.objects.filter(shown, invoice=OuterRef("pk")).order_by().values("invoice")
    running = Subquery(lines.annotate(total=Sum(LINE_TOTAL)).values("total"))
    return Coalesce("total_cents", running, Value(0))
