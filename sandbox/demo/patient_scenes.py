"""Scenes about patient accounts and offices: what each changes on the bill, and what it must not."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from billing.activation import OfficeNotBillable, activate_patient, deactivate_patient
from billing.models import Invoice, InvoiceStatus, ItemType, LineItem, SettlementReason
from billing.office_terms import change_status, override_price
from offices.models import OfficeStatus
from patients.models import Patient
from sandbox.demo.everyday import PORTAL, active_patients, inactive_patients
from sandbox.demo.stage import Stage

STAFF = "demo:staff"


def _lines(patient: Patient) -> list[tuple[str, str | None]]:
    lines = LineItem.objects.filter(patient_reference=patient.pk, live=True).order_by("cycle_key")
    return list(lines.values_list("item_type", "cycle_key"))


def reactivation_in_one_cycle(stage: Stage) -> None:
    """Somebody comes, goes and comes back within a month."""
    office = stage.office("clinic-020")
    patient = inactive_patients(office).exclude(pk__in=_charged_references()).last()
    if patient is None:
        raise LookupError("the cast lacks somebody who was never charged")
    for minute in (0, 30):
        now = stage.now + timedelta(minutes=minute)
        activate_patient(office_id=office.pk, patient_id=patient.pk, actor=PORTAL, now=now)
        if not minute:
            later = now + timedelta(minutes=15)
            deactivate_patient(office_id=office.pk, patient_id=patient.pk, actor=PORTAL, now=later)
    stage.go_to(stage.now + timedelta(minutes=45))
    repeated = activate_patient(office_id=office.pk, patient_id=patient.pk, actor=PORTAL, now=stage.now)
    stage.counts.update(activations=1, deactivations=1, reactivations=1)
    stage.tell("clinic-020: somebody is activated, deactivated and reactivated in one cycle: one line.")
    stage.expect("a reactivation in the same cycle adds no line", holds=len(_lines(patient)) == 1)
    stage.expect("activating an active account changes nothing and says so", holds=not repeated.changed)


def trial_becomes_active(stage: Stage) -> None:
    """A trial ends in the middle of a cycle; the next one is the first that costs."""
    office = stage.office("clinic-005")
    change_status(office_id=office.pk, status=OfficeStatus.ACTIVE, actor=STAFF, now=stage.now)
    stage.tell("clinic-005: the trial ends; this cycle stays free, the next one is billed.")


def trial_was_settled(stage: Stage) -> None:
    """Look back on the trial: the cycle that began in it was settled here, the next one was sent."""
    invoices = Invoice.objects.filter(office__reference="clinic-005", closed_at__isnull=False).order_by("closed_at")
    first, second = invoices[:2]
    settled = (first.total_cents, first.status, first.settlement_reason)
    stage.expect(
        "a trial's cycle is settled at 0.00 with nothing sent; the next one is billed",
        holds=settled == (0, InvoiceStatus.PAID, SettlementReason.TRIAL)
        and first.stripe_invoice_id is None
        and (second.total_cents or 0) > 0,
    )


def office_cancels(stage: Stage) -> None:
    """A clinic leaves: its draft stays, nothing new may begin."""
    office = stage.office("clinic-013")
    change_status(office_id=office.pk, status=OfficeStatus.CANCELED, actor=STAFF, now=stage.now)
    leaving, outside = active_patients(office).first(), inactive_patients(office).first()
    if leaving is None:
        raise LookupError("the cast lacks an active account at clinic-013")
    deactivate_patient(office_id=office.pk, patient_id=leaving.pk, actor=PORTAL, now=stage.now)
    refused = False
    try:
        activate_patient(office_id=office.pk, patient_id=(outside or leaving).pk, actor=PORTAL, now=stage.now)
    except OfficeNotBillable:
        refused = True
    stage.tell("clinic-013 cancels: its draft closes at the boundary, no new cycle opens, activation is refused.")
    stage.expect("a canceled office gets no activation", holds=refused)


def canceled_office_was_billed_once_more(stage: Stage) -> None:
    """Look back on the canceled office."""
    office = stage.office("clinic-013")
    canceled_at = office.status_changes.latest("effective_at").effective_at
    last = office.cycles.latest("index")
    stage.expect(
        "a canceled office's last cycle closes at its boundary, and none follows",
        holds=last.closed_at is not None and last.start_at < canceled_at < last.end_at,
    )


def inactive_office_returns(stage: Stage) -> None:
    """An office that was inactive from the start begins; nothing before is caught up."""
    office = stage.office("clinic-019")
    idle = not office.cycles.exists()
    change_status(office_id=office.pk, status=OfficeStatus.ACTIVE, actor=STAFF, now=stage.now)
    stage.run(office.reference)
    cycle = office.cycles.get()
    stage.tell("clinic-019, inactive until now, begins: billed from the present cycle on, nothing before.")
    stage.expect(
        "an office that comes back is billed from the present cycle on",
        holds=idle and cycle.start_at <= stage.now < cycle.end_at,
    )


def backdated_activation(stage: Stage) -> None:
    """A clinic reports late that somebody was active since February; February's cycle is closed."""
    office = stage.office("clinic-028")
    since = datetime(2026, 2, 20, 15, tzinfo=UTC)
    known_before = Patient.objects.filter(periods__deactivated_at__gt=since)
    patient = inactive_patients(office).exclude(pk__in=_charged_references()).exclude(pk__in=known_before).first()
    if patient is None:
        raise LookupError("the cast lacks somebody who was never charged")
    result = activate_patient(
        office_id=office.pk, patient_id=patient.pk, actor=PORTAL, now=stage.now, activated_at=since
    )
    stage.counts["backdated_activations"] += 1
    stage.tell("clinic-028: an activation dated back to 20 February: an adjustment for the closed cycle.")
    added = [(line.item_type, line.cycle_key) for line in result.lines]
    expected = [(ItemType.ADJUSTMENT, "2026-02"), (ItemType.ACTIVE_PATIENT, "2026-03")]
    stage.expect("a backdated activation becomes an adjustment and reopens nothing", holds=added == expected)


def price_override(stage: Stage) -> None:
    """An office gets a price of its own, from its next cycle on."""
    office = stage.office("clinic-030")
    override_price(
        office_id=office.pk,
        unit_price_cents=150,
        starts_on=stage.now.date(),
        ends_on=datetime(2027, 1, 1, tzinfo=UTC).date(),
        reason="Contract of March 2026",
        actor=STAFF,
        now=stage.now,
    )
    stage.tell("clinic-030: 1.50 per account by contract, from the next cycle on.")


def override_was_used(stage: Stage) -> None:
    """Look back on the price of its own."""
    keys = ("2026-02", "2026-03")
    cycles = stage.office("clinic-030").cycles.filter(key__in=keys).order_by("key")
    prices = list(cycles.values_list("unit_price_cents", flat=True))
    stage.expect("a new price holds from the next cycle on", holds=prices == [200, 150])


def _charged_references() -> list[UUID]:
    references = LineItem.objects.values_list("patient_reference", flat=True)
    return [reference for reference in references if reference is not None]
