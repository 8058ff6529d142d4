"""An office with a story: imported, billed, delivered, paid, changed; every step by a use case."""

from datetime import date

import pytest

from audit.chain import Fact, record
from billing.activation import activate_patient, deactivate_patient
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.invoice_backfill import backfill_invoices
from billing.models import ChargeReason, Invoice, ParkingCode
from billing.office_import import import_offices
from billing.office_terms import change_plan, change_status, change_zone, override_price
from billing.parking import park_office
from billing.unparking import unpark_office
from offices.models import Office, OfficeStatus, Plan, PlanPrice
from patients.models import Patient
from tests.billing.conftest import at_stand_in
from tests.billing.scenes import SharedClock, drain, hear
from tests.builders import ACTOR, make_patient, utc

HEADER = "reference,name,billing_email,timezone,billing_cycle_anchor_date,subscription_status,plan,collection_method\n"
IMPORTED_AT = utc("2026-01-01")
ROW = "{},Clinic,,America/New_York,2026-01-15,active,,\n"


def imported(tmp_path, *references):
    path = tmp_path / "offices.csv"
    path.write_text(HEADER + "".join(ROW.format(reference) for reference in references), encoding="utf-8")
    import_offices(path=path, actor=ACTOR, now=IMPORTED_AT)
    return [Office.objects.get(reference=reference) for reference in references]


def imported_patient(office, *periods, at):
    """Periods as an import leaves them, with its entry."""
    patient = make_patient(office, *periods)
    record(
        Fact(f"office:{office.reference}", "patients.imported", {"periods_created": len(periods)}), actor=ACTOR, now=at
    )
    return patient


@pytest.fixture
def story(lived_story, db):
    """Return the office `clinic-a` after four months; `clinic-b` beside it is quiet."""
    return Office.objects.get(reference=lived_story)


@pytest.fixture(scope="module")
def lived_story(shared_rows, tmp_path_factory):
    """Live through the four months, once for all that is asked of them."""
    with shared_rows.unblock(), at_stand_in() as stripe:
        return _live(stripe, tmp_path_factory.mktemp("story")).reference


def _live(stripe, tmp_path):
    office, _quiet = imported(tmp_path, "clinic-a", "clinic-b")
    at = utc("2026-01-20")
    patients = [Patient.objects.create(office=office, created_at=at) for _ in range(3)]
    imported_patient(office, (utc("2025-06-01"), None), at=at)
    for patient in patients:
        activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=at)
    charge_office(office_id=office.pk, charge=Charge(ChargeReason.TRAINING, 9900), actor=ACTOR, now=at)
    run_due(as_of=at, actor=ACTOR, now=at)
    deactivate_patient(office_id=office.pk, patient_id=patients[0].pk, actor=ACTOR, now=utc("2026-01-25"))
    change_zone(office_id=office.pk, timezone="America/Chicago", actor=ACTOR, now=utc("2026-01-26"))
    override_price(
        office_id=office.pk, unit_price_cents=150, starts_on=date(2026, 3, 1), ends_on=date(2026, 4, 1),
        reason="agreed", actor=ACTOR, now=utc("2026-01-27"),
    )  # fmt: skip
    clock = SharedClock(utc("2026-02-20"), stripe)
    run_due(as_of=clock.at, actor=ACTOR, now=clock.at)
    drain(clock)
    for invoice in Invoice.objects.filter(status="sent", invoice_type="monthly"):
        stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    hear(stripe, clock)
    park_office(office_id=office.pk, code=ParkingCode.UNEXPECTED_ERROR, actor=ACTOR, now=clock.at)
    unpark_office(office_id=office.pk, reason="seen", actor=ACTOR, now=clock.forward(hours=1))
    backfill_invoices(months=("2025-11", "2025-11"), actor=ACTOR, now=clock.at, close=True)
    backfill_invoices(months=("2025-10", "2025-10"), actor=ACTOR, now=clock.at)
    plan = Plan.objects.create(code="other", name="Other")
    PlanPrice.objects.create(plan=plan, effective_on=date(2000, 1, 1), unit_price_cents=100)
    change_plan(office_id=office.pk, plan=plan, actor=ACTOR, now=clock.at)
    run_due(as_of=utc("2026-03-20"), actor=ACTOR, now=utc("2026-03-20"))
    change_status(office_id=office.pk, status=OfficeStatus.CANCELED, actor=ACTOR, now=utc("2026-03-21"))
    return office
