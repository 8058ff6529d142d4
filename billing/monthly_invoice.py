"""Make sure that an office's open monthly invoice exists (the API's `POST /api/billing/invoices`)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing.activation import OfficeNotBillable
from billing.cycle_opening import is_live, open_missing_cycles
from billing.cycle_origin import cycles_of_the_run
from billing.models import Invoice, InvoiceStatus, InvoiceType
from offices.locking import lock_office


class NoOpenInvoice(Exception):
    """The present cycle is charged nothing more: its invoice was canceled (decisions.md 5), or its month is signed."""


@dataclass(frozen=True, slots=True)
class EnsuredInvoice:
    """The open monthly invoice, and whether this call opened its cycle."""

    invoice: Invoice
    created: bool


@transaction.atomic
def ensure_open_invoice(*, office_id: UUID, actor: str, now: datetime) -> EnsuredInvoice:
    """Return the draft of the newest cycle that is not closed, opening missing ones; idempotent (decisions.md 30).

    Raises OfficeNotBillable, NoOpenInvoice, NoPriceVersion, and the office lock's OfficeNotFound and
    OfficeBusy.
    """
    office = lock_office(office_id)
    if not is_live(office, now):
        raise OfficeNotBillable("the office is canceled or inactive")
    opened = open_missing_cycles([office], as_of=now, actor=actor, now=now)
    newest = cycles_of_the_run().filter(office=office, closed_at__isnull=True).order_by("-index")
    drafts = Invoice.objects.filter(
        cycle__in=newest.values("pk")[:1],
        invoice_type=InvoiceType.MONTHLY,
        status=InvoiceStatus.DRAFT,
        closed_at__isnull=True,
    )
    invoice = drafts.defer("internal_note").first()
    if invoice is None:
        raise NoOpenInvoice("the present cycle has no open invoice")
    return EnsuredInvoice(invoice, created=invoice.cycle_id in {cycle.pk for cycle in opened})
