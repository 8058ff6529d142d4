"""Pull an invoice so that one odd object never holds up the others: say whether it came, comes later, or parked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from billing.discrepancies import open_discrepancy
from billing.incidents import record_incident
from billing.invoice_pull import pull_invoice
from billing.lost_connection import is_lost_connection
from billing.models import DiscrepancyKind, Invoice, ParkingCode, RepairKind
from billing.parking import park_office
from billing.payment_status import InvoiceDiffers, VersionChanged
from billing.stripe_gateway.refusal import OutboundRefused
from billing.stripe_gateway.replies import (
    StripeRefused,
    StripeReplyUnusable,
    StripeResourceMissing,
    StripeUnavailable,
)
from offices.locking import OfficeBusy

logger = structlog.get_logger(__name__)

_OFFICE_BUSY = "office_busy"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came of a pull: settled for good or to be tried again, and the office that it parked.

    `hopeless`: the same try will not succeed by waiting, as it would with a Stripe that is merely away.
    """

    settled: bool
    code: str = ""
    parked: UUID | None = None
    hopeless: bool = False


def pull_carefully(invoice_id: UUID, *, actor: str, clock: Callable[[], datetime], money_back: bool) -> Pulled:
    """Bring the invoice to what Stripe shows; what differs there parks the office and is no reason to try again."""
    invoice = Invoice.objects.only("pk", "office_id", "version", "stripe_invoice_id").get(pk=invoice_id)
    try:
        pull_invoice(invoice, actor=actor, clock=clock, money_back=money_back)
    except Exception as error:  # noqa: BLE001 - one odd object must not hold up the news of all the others
        raise_if_disconnected(error)
        return _failed(invoice, error, actor=actor, now=clock())
    return Pulled(settled=True)


def code_of_delay(error: Exception) -> str | None:
    """Return the code of a failure that passes by itself, None for any other."""
    if isinstance(error, OfficeBusy):
        return _OFFICE_BUSY
    if isinstance(error, StripeUnavailable | StripeReplyUnusable | VersionChanged):
        return error.code
    return None


def raise_if_disconnected(error: Exception) -> None:
    """A lost connection to the database is nobody's fault: stop, and let the next drain go on."""
    if is_lost_connection(error):
        raise error


def _failed(invoice: Invoice, error: Exception, *, actor: str, now: datetime) -> Pulled:
    code = code_of_delay(error)
    if code is not None:
        return Pulled(settled=False, code=code, hopeless=isinstance(error, StripeReplyUnusable))
    differs = isinstance(error, InvoiceDiffers | StripeRefused)
    parking = ParkingCode.STRIPE_OBJECT_UNEXPECTED if differs else ParkingCode.UNEXPECTED_ERROR
    try:
        _park(invoice, error, parking, actor=actor, now=now)
    except OfficeBusy:
        return Pulled(settled=False, code=_OFFICE_BUSY)
    # What differs at Stripe is known now; anything else is tried again after a person looked.
    return Pulled(settled=differs, code="" if differs else parking, parked=invoice.office_id)


def _park(invoice: Invoice, error: Exception, code: ParkingCode, *, actor: str, now: datetime) -> None:
    with transaction.atomic():
        if isinstance(error, OutboundRefused):
            record_incident(error.refusal, call_site="invoice_pull", actor=actor, now=now, office_id=invoice.office_id)
        incident = park_office(office_id=invoice.office_id, code=code, actor=actor, now=now)
        if isinstance(error, StripeResourceMissing):
            _tell_deleted(invoice.pk, now)
    # Codes and ids only: an exception's text could quote what must not be written down.
    logger.error("pull_parked_its_office", code=code, incident=incident, error=type(error))


def _tell_deleted(invoice_id: UUID, now: datetime) -> None:
    """An invoice that Stripe holds no more is a difference, never a status (decisions.md 22)."""
    invoice = Invoice.objects.select_related("office", "cycle").defer("internal_note").get(pk=invoice_id)
    open_discrepancy(
        kind=DiscrepancyKind.INVOICE_DELETED,
        subject=f"invoice:{invoice.pk}",
        office=invoice.office,
        invoice=invoice,
        cycle_key=invoice.cycle.key if invoice.cycle else "",
        amount_cents=invoice.total_cents or 0,
        ours={"status": invoice.status, "total_cents": invoice.total_cents, "stripe_id": invoice.stripe_invoice_id},
        theirs={"exists": False},
        repair=RepairKind.LOOK,
        run=None,
        now=now,
    )
