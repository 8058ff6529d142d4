"""Activate and deactivate a patient account, with what it means for the bill (product.md rules 2, 3 and 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Value

from audit.bulk_rows import insert_all
from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.activation_standing import KnownCycle, Standing, known_cycles, standing_of
from billing.cycle_opening import is_live, open_missing_cycles
from billing.cycle_origin import cycles_of_the_run
from billing.line_items import adjust_for_period, charge_patient, let_off_charges, live_monthly_invoices
from billing.models import BillingCycle, Invoice, InvoiceStatus, InvoiceType, LineItem
from offices.audit_stream import office_stream
from offices.locking import OfficeBusy, lock_office
from offices.models import Office
from patients.models import ActivityPeriod, Patient


class OfficeNotBillable(Exception):
    """The office is canceled or inactive: no new charges (product.md rule 8)."""


class PatientNotFound(Exception):
    """There is no such patient account at this office."""


class TimeInFuture(Exception):
    """Activity is recorded when it has begun or ended, never ahead of time (decisions.md 3)."""


class PeriodsOverlap(Exception):
    """The patient account was already active at that time; periods may touch, not overlap."""


class PeriodEmpty(Exception):
    """The end is not after the beginning."""


@dataclass(frozen=True, slots=True)
class ActivationResult:
    """What an activation changed: the lines it added, and the closed cycles that stay free of charge."""

    changed: bool
    lines: tuple[LineItem, ...] = ()
    waived_cycles: tuple[str, ...] = ()


@transaction.atomic
def activate_patient(
    *, office_id: UUID, patient_id: UUID, actor: str, now: datetime, activated_at: datetime | None = None
) -> ActivationResult:
    """Activate the account from `activated_at` (default `now`) on and charge every cycle that this makes billable.

    The present cycle gets its line at once; a closed one an adjustment on the open invoice. Activating an active
    account changes nothing and says so. Raises OfficeNotBillable, PatientNotFound, TimeInFuture, PeriodsOverlap,
    and the office lock's OfficeNotFound and OfficeBusy.
    """
    try:
        office = lock_office(office_id)
    except OfficeBusy:
        if _stands_active(office_id, patient_id, now):  # whoever holds the office may just have done it
            return ActivationResult(changed=False)
        raise
    starts_at = activated_at or now
    standing = standing_of(office_id=office_id, patient_id=patient_id, starts_at=starts_at, now=now)
    if standing is None:
        raise PatientNotFound("there is no such patient account at this office")
    if starts_at > now:
        raise TimeInFuture("activated_at lies in the future")
    if not standing.office_is_live:
        raise OfficeNotBillable("the office is canceled or inactive")
    if standing.is_active:
        return ActivationResult(changed=False)
    if standing.was_active_later:
        raise PeriodsOverlap("the patient account was already active at that time")
    period = ActivityPeriod(patient_id=patient_id, office=office, activated_at=starts_at)
    insert_all([period])
    touched = [cycle for cycle in _cycles(office, starts_at, actor, now) if cycle.end_at > starts_at]
    lines = _charge(office, period, standing, touched, now)
    waived = _waived_cycles(office, patient_id, starts_at, touched, lines)
    payload: dict[str, PayloadValue] = {"patient": str(patient_id), "lines": len(lines), "waived": len(waived)}
    record(Fact(office_stream(office.reference), "patient.activated", payload), actor=actor, now=now)
    return ActivationResult(changed=True, lines=tuple(lines), waived_cycles=tuple(waived))


@transaction.atomic
def deactivate_patient(
    *, office_id: UUID, patient_id: UUID, actor: str, now: datetime, deactivated_at: datetime | None = None
) -> bool:
    """End the account's activity at `deactivated_at` (default `now`); return whether anything changed.

    Takes no line away; the account is simply not carried into the next cycle. Allowed for every office status.
    Raises PatientNotFound, TimeInFuture, PeriodEmpty, and the office lock's OfficeNotFound and OfficeBusy.
    """
    office = lock_office(office_id)
    patient = _patient(office, patient_id)
    ends_at = deactivated_at or now
    if ends_at > now:
        raise TimeInFuture("deactivated_at lies in the future")
    period = _open_period(patient)
    if period is None:
        return False
    if ends_at <= period.activated_at:
        raise PeriodEmpty("deactivated_at must be after the activation")
    period.deactivated_at, period.deactivation_recorded_at = ends_at, now
    period.save(update_fields=["deactivated_at", "deactivation_recorded_at"])
    record(
        Fact(office_stream(office.reference), "patient.deactivated", {"patient": str(patient.pk)}), actor=actor, now=now
    )
    return True


def _patient(office: Office, patient_id: UUID) -> Patient:
    patient = Patient.objects.filter(pk=patient_id, office=office).first()
    if patient is None:
        raise PatientNotFound("there is no such patient account at this office")
    return patient


def _stands_active(office_id: UUID, patient_id: UUID, now: datetime) -> bool:
    """Say, without a lock, whether an activation would change nothing."""
    patient = Patient.objects.filter(pk=patient_id, office=office_id).select_related("office").first()
    return patient is not None and _open_period(patient) is not None and is_live(patient.office, now)


def _open_period(patient: Patient) -> ActivityPeriod | None:
    return ActivityPeriod.objects.filter(patient=patient, deactivated_at__isnull=True).first()


def _cycles(office: Office, starts_at: datetime, actor: str, now: datetime) -> list[KnownCycle]:
    """Return the cycles that matter, with those opened that the office should have by now."""
    known = known_cycles(office_id=office.pk, starts_at=starts_at)
    if known and known[-1].end_at > now:
        return known
    open_missing_cycles([office], as_of=now, actor=actor, now=now)
    return known_cycles(office_id=office.pk, starts_at=starts_at)


def _charge(
    office: Office, period: ActivityPeriod, standing: Standing, touched: Sequence[KnownCycle], now: datetime
) -> list[LineItem]:
    """Add the lines of the new period and return them, the oldest cycle first."""
    lines: list[LineItem] = []
    for cycle in touched:
        # A backfill's cycle is charged when it is closed (decisions.md 11).
        if cycle.closed_at is None and not cycle.is_backfilled:
            lines += charge_patient(cycle_id=cycle.id, patient=period.patient_id, now=now, has_gaps=standing.has_gaps)
    if any(cycle.closed_at for cycle in touched):
        for invoice_id in _open_invoice(office):
            lines += adjust_for_period(invoice_id=invoice_id, period_id=period.pk, now=now, has_gaps=standing.has_gaps)
    return sorted(lines, key=lambda line: str(line.cycle_key))


def _open_invoice(office: Office) -> list[UUID]:
    """Return the newest open monthly invoice, if any: the one that adjustments for closed cycles go on."""
    drafts = Invoice.objects.filter(
        cycle__in=cycles_of_the_run().filter(office=office),
        invoice_type=InvoiceType.MONTHLY,
        status=InvoiceStatus.DRAFT,
        closed_at__isnull=True,
    )
    return list(drafts.order_by("-cycle__index").values_list("pk", flat=True)[:1])


def _waived_cycles(
    office: Office, patient_id: UUID, starts_at: datetime, touched: Sequence[KnownCycle], lines: Sequence[LineItem]
) -> list[str]:
    """Return the keys of cycles the period touches that stay free: what charged them was canceled for good."""
    if {cycle.key for cycle in touched} <= {line.cycle_key for line in lines}:
        return []  # as a rule: the new period is charged wherever it reaches
    charged = LineItem.objects.filter(patient_reference=patient_id, cycle_key=OuterRef("key"), live=True)
    let_off = let_off_charges(Value(patient_id), OuterRef("key"))
    waived = ~Q(Exists(live_monthly_invoices(OuterRef("pk")))) | Q(Exists(let_off))
    return list(
        BillingCycle.objects.filter(Q(office=office, end_at__gt=starts_at) & ~Exists(charged) & waived)
        .order_by("index")
        .values_list("key", flat=True)
    )
