"""Make the rows a test talks about, with names that read like the sentence."""

import itertools
from datetime import UTC, date, datetime, timedelta

from offices.models import BEGINNING, Office, OfficePlan, OfficeStatus, OfficeStatusChange, OfficeZone, Plan
from patients.models import ActivityPeriod, Patient

_numbers = itertools.count(1)
ACTOR = "test"


def utc(text: str) -> datetime:
    """Read `2026-03-01` or `2026-03-01T12:00` as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_office(
    *,
    anchor: date = date(2026, 1, 15),
    zone: str = "America/New_York",
    status: OfficeStatus = OfficeStatus.ACTIVE,
    **fields: object,
) -> Office:
    """Make an office as an import would: what it starts with holds since the beginning."""
    number = next(_numbers)
    values = {"reference": f"clinic-{number}", "name": f"Clinic {number}", "created_at": BEGINNING} | fields
    office = Office.objects.create(billing_cycle_anchor_date=anchor, **values)
    OfficeStatusChange.objects.create(office=office, status=status, effective_at=BEGINNING)
    OfficeZone.objects.create(office=office, timezone=zone, effective_at=BEGINNING)
    OfficePlan.objects.create(office=office, plan=Plan.objects.get(code="standard"), effective_at=BEGINNING)
    return office


def make_patient(office: Office, *periods: tuple[datetime, datetime | None]) -> Patient:
    """Make a patient account with activity periods, recorded without billing, as an import writes them."""
    patient = Patient.objects.create(office=office, created_at=BEGINNING)
    for start, end in periods:
        ActivityPeriod.objects.create(
            patient=patient, office=office, activated_at=start, deactivated_at=end, deactivation_recorded_at=end
        )
    return patient


class Clock:
    """A clock that a test turns by hand."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> datetime:
        """Turn the clock on, by `minutes=5` or the like."""
        self.at += timedelta(**by)
        return self.at
