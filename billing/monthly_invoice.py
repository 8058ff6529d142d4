"""Make sure that an office's open monthly invoice exists (the API's `POST /api/billing/invoices`)."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing.activation import OfficeNotBillable
from billing.cycle_opening import is_live, open_missing_cycles
from billing.models import Invoice, InvoiceStatus, InvoiceType
from offices.locking import lock_office


@transaction.atomic
def ensure_open_invoice(*, office_id: UUID, actor: str, now: datetime) -> Invoice:
    """Return the draft of the cycle that holds `now`, opening cycles that are missing; idempotent (decisions.md 30).

    Raises OfficeNotBillable, and the office lock's OfficeNotFound and OfficeBusy.
    """
    office = lock_office(office_id)
    if not is_live(office, now):
        raise OfficeNotBillable("the office is canceled or inactive")
    open_missing_cycles([office], as_of=now, actor=actor, now=now)
    drafts = Invoice.objects.filter(
        office=office, invoice_type=InvoiceType.MONTHLY, status=InvoiceStatus.DRAFT, closed_at__isnull=True
    )
    return drafts.defer("internal_note").latest("cycle__index")
