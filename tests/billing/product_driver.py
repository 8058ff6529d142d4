"""Leads the product through a history of the oracle, by its use cases alone, and reads its books back."""

from collections.abc import Callable
from uuid import uuid4

from django.db import transaction

from billing import activation, charges, office_terms
from billing.billing_run import run_due
from billing.invoice_backfill import backfill_invoices
from billing.models import BillingCycle, ChargeReason, Invoice, LineItem
from billing.office_run import COUNTS
from offices.models import (
    BEGINNING,
    BEGINNING_DAY,
    Office,
    OfficePlan,
    OfficeStatus,
    OfficeStatusChange,
    OfficeZone,
    Plan,
    PlanPrice,
)
from patients.models import ActivityPeriod, Patient
from tests.oracle import commands as c
from tests.oracle.books import CLOSED, OPEN_DRAFT, SETTLED_ZERO, BookCycle, BookInvoice, BookLine, BookPeriod, Books

ACTOR = "oracle"
REFUSALS: dict[type[Exception], str] = {
    activation.PatientNotFound: "unknown_patient",
    activation.TimeInFuture: "future_time",
    activation.OfficeNotBillable: "office_not_live",
    activation.PeriodsOverlap: "overlap",
    activation.PeriodEmpty: "empty_period",
    office_terms.AnchorFixed: "anchor_fixed",
    charges.OfficeTrialing: "trialing",
    charges.SetupFeeAlreadyCharged: "setup_fee_exists",
}


class ProductDriver:
    """One office of the product; patients of the history by name."""

    def __init__(self) -> None:
        self.patients: dict[str, Patient] = {}

    def create_office(self, command: c.CreateOffice) -> str:
        self.plan = Plan.objects.create(code=f"plan-{uuid4().hex[:12]}", name="Plan", setup_fee_cents=command.setup_fee)
        PlanPrice.objects.create(plan=self.plan, effective_on=BEGINNING_DAY, unit_price_cents=command.price)
        self.office = Office.objects.create(
            name="Clinic", billing_cycle_anchor_date=command.anchor, created_at=command.at
        )
        OfficeStatusChange.objects.create(
            office=self.office, status=OfficeStatus(command.status), effective_at=BEGINNING
        )
        OfficeZone.objects.create(office=self.office, timezone=command.zone, effective_at=BEGINNING)
        OfficePlan.objects.create(office=self.office, plan=self.plan, effective_at=BEGINNING)
        return "changed"

    def register_patient(self, command: c.RegisterPatient) -> str:
        if command.patient in self.patients:
            return "unchanged"
        self.patients[command.patient] = Patient.objects.create(office=self.office, created_at=command.at)
        return "changed"

    def import_periods(self, command: c.ImportPeriods) -> str:
        """Write periods as an import does: all or nothing, and without billing."""
        from tests.oracle.activity import take_in
        from tests.oracle.office import Period

        known = command.patient in self.patients
        rows = list(ActivityPeriod.objects.filter(patient=self.patients[command.patient])) if known else []
        before = {row.activated_at: row for row in rows}
        periods = [Period(row.activated_at, row.deactivated_at) for row in rows]
        for span in command.periods:
            if refusal := take_in(periods, span, command.at):
                return refusal
        changed = not known
        if not known:
            self.register_patient(c.RegisterPatient(command.at, command.patient))
        for period in periods:
            row = before.get(period.activated_at)
            if row is None:
                ActivityPeriod.objects.create(
                    patient=self.patients[command.patient],
                    office=self.office,
                    activated_at=period.activated_at,
                    deactivated_at=period.deactivated_at,
                    deactivation_recorded_at=command.at if period.deactivated_at else None,
                )
            elif row.deactivated_at != period.deactivated_at:
                row.deactivated_at, row.deactivation_recorded_at = period.deactivated_at, command.at
                row.save()
            else:
                continue
            changed = True
        return "changed" if changed else "unchanged"

    def activate(self, command: c.Activate) -> str:
        return self._outcome(
            lambda: (
                activation.activate_patient(
                    office_id=self.office.pk,
                    patient_id=self._id(command.patient),
                    actor=ACTOR,
                    now=command.at,
                    activated_at=command.activated_at,
                ).changed
            )
        )

    def deactivate(self, command: c.Deactivate) -> str:
        return self._outcome(
            lambda: activation.deactivate_patient(
                office_id=self.office.pk,
                patient_id=self._id(command.patient),
                actor=ACTOR,
                now=command.at,
                deactivated_at=command.deactivated_at,
            )
        )

    def change_status(self, command: c.ChangeStatus) -> str:
        return self._outcome(
            lambda: office_terms.change_status(
                office_id=self.office.pk, status=OfficeStatus(command.status), actor=ACTOR, now=command.at
            )
        )

    def change_zone(self, command: c.ChangeZone) -> str:
        return self._outcome(
            lambda: office_terms.change_zone(
                office_id=self.office.pk, timezone=command.zone, actor=ACTOR, now=command.at
            )
        )

    def change_anchor(self, command: c.ChangeAnchor) -> str:
        return self._outcome(
            lambda: office_terms.change_anchor(
                office_id=self.office.pk, anchor=command.anchor, actor=ACTOR, now=command.at
            )
        )

    def set_price(self, command: c.SetPrice) -> str:
        PlanPrice.objects.create(plan=self.plan, effective_on=command.effective_from, unit_price_cents=command.price)
        return "changed"

    def set_override(self, command: c.SetOverride) -> str:
        office_terms.override_price(
            office_id=self.office.pk,
            unit_price_cents=command.price,
            starts_on=command.start,
            ends_on=command.end,
            reason="agreed",
            actor=ACTOR,
            now=command.at,
        )
        return "changed"

    def run(self, command: c.Run) -> str:
        summary = run_due(
            as_of=command.as_of or command.at,
            actor=ACTOR,
            now=command.at,
            office_reference=self.office.reference,
        )
        assert not summary.problems, summary.problems
        return "changed" if any(n for k, n in summary.tally.counts.items() if k != "already_done") else "unchanged"

    def backfill(self, command: c.Backfill) -> str:
        summary = backfill_invoices(
            months=(command.first, command.last),
            actor=ACTOR,
            now=command.at,
            office_reference=self.office.reference,
            close=command.close,
        )
        assert not summary.run.problems, summary.run.problems
        assert not [each for each in summary.differences if each.is_wrong], summary.differences
        counts = summary.run.tally.counts
        return "changed" if any(counts[name] for name in COUNTS if name != "already_done") else "unchanged"

    def setup_fee(self, _command: c.SetupFee) -> str:
        return self._charge(charges.Charge(ChargeReason.SETUP_FEE), _command)

    def one_off(self, command: c.OneOff) -> str:
        return self._charge(charges.Charge(ChargeReason.TRAINING, command.amount), command)

    def _charge(self, charge: charges.Charge, command: c.Command) -> str:
        return self._outcome(
            lambda: bool(charges.charge_office(office_id=self.office.pk, charge=charge, actor=ACTOR, now=command.at))
        )

    def _id(self, name: str):
        return self.patients[name].pk if name in self.patients else uuid4()

    def _outcome(self, call: Callable[[], bool]) -> str:
        try:
            with transaction.atomic():
                return "changed" if call() else "unchanged"
        except tuple(REFUSALS) as refusal:
            return f"refused:{REFUSALS[type(refusal)]}"

    def books(self) -> Books:
        names = {patient.pk: name for name, patient in self.patients.items()}
        invoices = list(Invoice.objects.filter(office=self.office).select_related("cycle"))
        lines = list(LineItem.objects.filter(invoice__office=self.office, live=True).select_related("invoice__cycle"))
        return Books(
            cycles=tuple(_cycle(cycle) for cycle in BillingCycle.objects.filter(office=self.office)),
            invoices=tuple(_invoice(invoice, lines) for invoice in invoices),
            lines=tuple(_line(line, names) for line in lines),
            periods=tuple(
                BookPeriod(names[period.patient_id], period.activated_at, period.deactivated_at)
                for period in ActivityPeriod.objects.filter(office=self.office)
            ),
        )


def _cycle(cycle: BillingCycle) -> BookCycle:
    return BookCycle(
        index=cycle.index,
        key=cycle.key,
        start_date=cycle.start_date,
        end_date=cycle.end_date,
        start_at=cycle.start_at,
        end_at=cycle.end_at,
        zone=cycle.zone,
        trial=cycle.status == OfficeStatus.TRIALING,
        unit_price=cycle.unit_price_cents,
        closed=cycle.closed_at is not None,
    )


def _invoice(invoice: Invoice, lines: list[LineItem]) -> BookInvoice:
    total = sum(line.quantity * line.unit_price_cents for line in lines if line.invoice_id == invoice.pk)
    if invoice.closed_at is None:
        status = OPEN_DRAFT
    else:
        assert invoice.total_cents == total, "I3: the frozen total is the sum of the lines"
        status = SETTLED_ZERO if invoice.status == "paid" else CLOSED
    return BookInvoice(invoice.invoice_type, invoice.cycle.key if invoice.cycle else None, status, total)


def _line(line: LineItem, names: dict) -> BookLine:
    cycle = line.invoice.cycle
    return BookLine(
        kind=line.invoice.invoice_type,
        on_cycle=cycle.key if cycle else None,
        item_type=line.item_type,
        patient=names.get(line.patient_reference),
        cycle_key=line.cycle_key,
        unit_price=line.unit_price_cents,
    )
