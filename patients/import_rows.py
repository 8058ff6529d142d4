"""One row of the patients' CSV file: a person and one period of activity (product.md, `import_patients`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from offices.cell_values import CellInvalid, read_date, read_instant
from offices.csv_rows import CsvRow
from offices.import_findings import Cause, ProblemCode, RowRejected
from patients.identity import Identity
from patients.registration import IdentityInvalid, check_identity, record_number

IDENTITY_COLUMNS = ("first_name", "last_name", "date_of_birth", "email", "phone")
COLUMNS = ("office_reference", "external_id", *IDENTITY_COLUMNS, "activated_at", "deactivated_at")


@dataclass(frozen=True, slots=True, repr=False)
class PatientRow:
    """A row that is right in itself. Has no repr: it must not appear in a log or a traceback."""

    number: int
    office_reference: str
    identity: Identity
    activated_at: datetime
    deactivated_at: datetime | None


def read_patient_row(row: CsvRow, *, now: datetime) -> PatientRow:
    """Return the row's values; raise RowRejected with everything that is wrong with the row in itself."""
    cells = row.cells()
    causes: list[Cause] = []
    if not cells["office_reference"]:
        causes.append(Cause("office_reference", ProblemCode.REQUIRED))
    identity = _identity(cells, causes, now)
    starts_at = _instant(cells, "activated_at", causes, now)
    ends_at = _instant(cells, "deactivated_at", causes, now) if cells["deactivated_at"] else None
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        causes.append(Cause("deactivated_at", ProblemCode.EMPTY_PERIOD))
    if causes or starts_at is None:
        raise RowRejected(*causes)
    return PatientRow(row.number, cells["office_reference"], identity, starts_at, ends_at)


def _identity(cells: Mapping[str, str], causes: list[Cause], now: datetime) -> Identity:
    identity = Identity(
        external_id=record_number(cells["external_id"]),
        first_name=cells["first_name"],
        last_name=cells["last_name"],
        date_of_birth=_born(cells["date_of_birth"], causes),
        email=cells["email"],
        phone=cells["phone"],
    )
    try:
        check_identity(identity, now=now)
    except IdentityInvalid as invalid:
        causes.extend(invalid.causes)
    return identity


def _born(text: str, causes: list[Cause]) -> date | None:
    try:
        return read_date(text) if text else None
    except CellInvalid as invalid:
        causes.append(Cause("date_of_birth", invalid.code))
        return None


def _instant(cells: Mapping[str, str], column: str, causes: list[Cause], now: datetime) -> datetime | None:
    try:
        if cells[column]:
            return read_instant(cells[column], now=now)
        causes.append(Cause(column, ProblemCode.REQUIRED))
    except CellInvalid as invalid:
        causes.append(Cause(column, invalid.code))
    return None
