"""Small CSV files and offices for the tests of the imports."""

import csv
from datetime import UTC, date, datetime

from offices.models import BEGINNING, Office, OfficePlan, OfficeStatusChange, OfficeZone, Plan
from patients.identity import PatientIdentity
from patients.import_rows import COLUMNS
from patients.models import ActivityPeriod

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


def office(reference: str = "clinic-1", **columns) -> Office:
    made = Office.objects.create(
        reference=reference, name=f"Name of {reference}", billing_cycle_anchor_date=date(2025, 1, 1), created_at=NOW,
        **columns,
    )  # fmt: skip
    OfficeStatusChange.objects.create(office=made, status="active", effective_at=BEGINNING)
    OfficeZone.objects.create(office=made, timezone="America/New_York", effective_at=BEGINNING)
    OfficePlan.objects.create(office=made, plan=Plan.objects.get(code="standard"), effective_at=BEGINNING)
    return made


def patient(mrn: str = "MRN-1", start: str = "2025-06-01", end: str = "", **cells) -> dict[str, str]:
    """One row; `start` and `end` may be days, meaning noon UTC."""
    row = dict.fromkeys(COLUMNS, "") | {
        "office_reference": "clinic-1", "external_id": mrn, "first_name": "Ada", "last_name": "Abbott",
        "date_of_birth": "1980-02-29", "email": "ada@mail.example", "phone": "+14425550100",
        "activated_at": _noon(start), "deactivated_at": _noon(end),
    }  # fmt: skip
    return row | cells


def write(path, rows, columns=COLUMNS):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def day(text: str) -> datetime:
    return datetime.fromisoformat(_noon(text))


def _noon(text: str) -> str:
    return f"{text}T12:00:00+00:00" if len(text) == len("2025-06-01") else text


def identities() -> dict[str, PatientIdentity]:
    """Return the stored identities by record number."""
    return {row.open().external_id: row for row in PatientIdentity.objects.all()}


def periods(external_id: str = "MRN-1") -> list[tuple[datetime, datetime | None]]:
    patient_id = identities()[external_id].patient_id
    stored = ActivityPeriod.objects.filter(patient=patient_id).order_by("activated_at")
    return list(stored.values_list("activated_at", "deactivated_at"))
