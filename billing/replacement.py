"""The invoice that stands in for a canceled one: its lines without those dropped, closed and queued at once."""

from datetime import datetime

from django.db.models import BooleanField, DateTimeField, Exists, OuterRef, UUIDField, Value

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.fail_points import FailPoint, reach
from billing.invoicing import close_invoices
from billing.models import Correction, DroppedLine, Invoice, InvoiceOrigin, InvoiceStatus, LineItem, NewUUID
from billing.set_based import insert_from
from offices.audit_stream import office_stream


class NotCanceled(Exception):
    """A replacement goes live only when the first invoice is canceled, or the same would be owed twice."""


def make_replacement(correction: Correction, *, actor: str, now: datetime) -> Invoice:
    """Copy the canceled invoice without its dropped lines, link it, close it and queue it; return it.

    The caller holds the office lock. Same type, cycle, currency, prices and terms of collection; what comes to 0 is
    settled here. Returns the replacement that is there already, if any. Raises NotCanceled.
    """
    first = Invoice.objects.select_related("office").defer("internal_note").get(pk=correction.invoice_id)
    if first.status != InvoiceStatus.CANCELED:
        raise NotCanceled("the invoice to replace is not canceled")
    standing = Invoice.objects.defer("internal_note").filter(replaces=first).first()
    if standing is not None:
        return standing
    replacement = Invoice.objects.create(
        office=first.office,
        cycle_id=first.cycle_id,
        invoice_type=first.invoice_type,
        origin=InvoiceOrigin.LIVE,
        currency=first.currency,
        charge_reason=first.charge_reason,
        replaces=first,
        created_at=now,
        updated_at=now,
    )
    lines = _copy_lines(correction, replacement, now)
    reach(FailPoint.CORRECTION_LINES_COPIED)
    about: dict[str, PayloadValue] = {"invoice": str(first.pk), "replacement": str(replacement.pk), "lines": lines}
    record(Fact(office_stream(first.office.reference), "invoice.replaced", about), actor=actor, now=now)
    close_invoices([replacement.pk], actor=actor, now=now)
    replacement.refresh_from_db()
    return replacement


def _copy_lines(correction: Correction, replacement: Invoice, now: datetime) -> int:
    """Insert the copies in one statement: an invoice may have a line for each of 200,000 patients."""
    dropped = DroppedLine.objects.filter(correction=correction, line_item=OuterRef("pk"))
    kept = LineItem.objects.filter(~Exists(dropped), invoice=correction.invoice_id)
    return insert_from(
        LineItem,
        kept,
        id=NewUUID(),
        invoice=Value(replacement.pk, output_field=UUIDField()),
        item_type="item_type",
        cycle_key="cycle_key",
        patient_reference="patient_reference",
        quantity="quantity",
        unit_price_cents="unit_price_cents",
        live=Value(value=True, output_field=BooleanField()),
        created_at=Value(now, output_field=DateTimeField()),
    )
