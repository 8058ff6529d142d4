"""Charges beside the monthly bill: the setup fee and one-offs, each an invoice of its own (product.md rule 7)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from audit.chain import Fact, record_many
from billing.invoicing import close_invoices
from billing.models import (
    ChargeReason,
    Correction,
    CorrectionKind,
    CorrectionStatus,
    Invoice,
    InvoiceStatus,
    InvoiceType,
    ItemType,
    LineItem,
)
from billing.staff_notes import keep_note
from offices.audit_stream import office_stream
from offices.locking import lock_office
from offices.models import LIVE_STATUSES, Office, OfficeStatus, Plan
from offices.timeline import Timeline, load_timelines


class OfficeTrialing(Exception):
    """Nothing is charged in a trial; charge when the office is active (decisions.md 8)."""


class OfficeClosed(Exception):
    """A canceled or inactive office gets no setup fee any more; a final one-off is possible."""


class SetupFeeAlreadyCharged(Exception):
    """An office has at most one live setup fee (product.md rule 7)."""


class AmountMissing(Exception):
    """Only the setup fee has an amount of its own, on the plan; every other reason needs one."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What to charge: a reason of the catalogue, cents (None: the plan's setup fee), and staff's own note.

    `override_reason` says why a note stands that looks like patient data; it is kept sealed with the note.
    """

    reason: ChargeReason
    amount_cents: int | None = None
    note: str = ""
    override_reason: str = ""


@transaction.atomic
def charge_office(*, office_id: UUID, charge: Charge, actor: str, now: datetime) -> Invoice:
    """Make an invoice of one line, close it and queue it at once; return it.

    An amount of 0 is settled here as paid, with nothing sent. The note stays inside. Raises OfficeTrialing,
    OfficeClosed, SetupFeeAlreadyCharged, AmountMissing, NoteLooksLikePatientData, and the office lock's OfficeNotFound
    and OfficeBusy.
    """
    office = lock_office(office_id)
    timeline = load_timelines([office.pk])[office.pk]
    _check_status(timeline.status_at(now), charge)
    note = keep_note(office.pk, charge.note, override_reason=charge.override_reason)
    is_setup_fee = charge.reason == ChargeReason.SETUP_FEE
    if is_setup_fee and _has_setup_fee(office):
        raise SetupFeeAlreadyCharged("the office already has a setup fee")
    invoice = Invoice.objects.create(
        office=office,
        invoice_type=InvoiceType.SETUP_FEE if is_setup_fee else InvoiceType.ONE_OFF,
        currency=office.currency,
        charge_reason=charge.reason,
        internal_note=note.text,
        created_at=now,
        updated_at=now,
    )
    LineItem.objects.create(
        invoice=invoice,
        item_type=ItemType.SETUP_FEE if is_setup_fee else ItemType.ONE_OFF,
        unit_price_cents=_amount(charge, timeline, now),
        created_at=now,
    )
    record_many(_facts(office, invoice, note.overridden), actor=actor, now=now)
    close_invoices([invoice.pk], actor=actor, now=now)
    invoice.refresh_from_db()
    return invoice


def _check_status(status: OfficeStatus, charge: Charge) -> None:
    if status == OfficeStatus.TRIALING:
        raise OfficeTrialing("the office is trialing: nothing is charged yet")
    if charge.reason == ChargeReason.SETUP_FEE and status not in LIVE_STATUSES:
        raise OfficeClosed("the office is canceled or inactive: no setup fee")


def _facts(office: Office, invoice: Invoice, overridden: tuple[str, ...]) -> list[Fact]:
    stream, about = office_stream(office.reference), str(invoice.pk)
    created = {"invoice": about, "type": invoice.invoice_type, "reason": invoice.charge_reason}
    facts = [Fact(stream, "charge.created", created)]
    if overridden:
        facts.append(Fact(stream, "note.advice_overridden", {"invoice": about, "codes": ",".join(overridden)}))
    return facts


def _has_setup_fee(office: Office) -> bool:
    """Say whether a setup fee stands, or will: one that is canceled already may be about to be replaced."""
    fees = Invoice.objects.filter(office=office, invoice_type=InvoiceType.SETUP_FEE)
    replaced_soon = Correction.objects.filter(
        invoice=OuterRef("pk"), kind=CorrectionKind.REPLACE, status=CorrectionStatus.APPROVED
    )
    return fees.filter(~Q(status=InvoiceStatus.CANCELED) | Exists(replaced_soon)).exists()


def _amount(charge: Charge, timeline: Timeline, now: datetime) -> int:
    if charge.amount_cents is not None:
        return charge.amount_cents
    if charge.reason != ChargeReason.SETUP_FEE:
        raise AmountMissing("this reason needs an amount")
    return Plan.objects.get(pk=timeline.plan_at(now)).setup_fee_cents
