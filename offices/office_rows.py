"""One row of the offices' CSV file (product.md, `import_offices`)."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from offices.cell_values import CellInvalid, read_date
from offices.csv_rows import CsvRow
from offices.import_findings import Cause, ProblemCode, RowRejected
from offices.models import REFERENCE_PATTERN, CollectionMethod, OfficeStatus, Plan

COLUMNS = (
    "reference", "name", "billing_email", "timezone", "billing_cycle_anchor_date", "subscription_status", "plan",
    "collection_method",
)  # fmt: skip

DEFAULT_PLAN = "standard"
PAST_DUE = "past_due"
_LONGEST = {"name": 200, "billing_email": 254, "timezone": 64}  # as the columns of the table
# Within these years no arithmetic on cycles leaves the calendar.
_ANCHOR_YEARS = range(1900, 2201)

ZoneCheck = Callable[[str], None]  # raises ValueError for a name that is no zone


@dataclass(frozen=True, slots=True)
class OfficeRow:
    """A row that is right in itself; an empty reference means: found by name and billing e-mail, or new."""

    number: int
    reference: str
    name: str
    billing_email: str
    timezone: str
    billing_cycle_anchor_date: date
    status: OfficeStatus
    says_past_due: bool
    plan: Plan
    collection_method: CollectionMethod


def read_office_row(row: CsvRow, *, plans: Mapping[str, Plan], check_zone: ZoneCheck) -> OfficeRow:
    """Return the row's values, empty cells as their defaults; raise RowRejected with everything that is wrong."""
    cells = row.cells()
    causes = [*_identifying_causes(cells), *_zone_causes(cells, check_zone)]
    anchor = _anchor(cells, causes)
    says_past_due = cells["subscription_status"] == PAST_DUE
    status = OfficeStatus.ACTIVE if says_past_due else cells["subscription_status"] or OfficeStatus.ACTIVE
    method = cells["collection_method"] or CollectionMethod.SEND_INVOICE
    plan = plans.get(cells["plan"] or DEFAULT_PLAN)
    if status not in OfficeStatus.values:
        causes.append(Cause("subscription_status", ProblemCode.UNKNOWN_STATUS))
    if plan is None:
        causes.append(Cause("plan", ProblemCode.UNKNOWN_PLAN))
    if method not in CollectionMethod.values:
        causes.append(Cause("collection_method", ProblemCode.UNKNOWN_COLLECTION_METHOD))
    if causes or anchor is None or plan is None:
        raise RowRejected(*causes)
    return OfficeRow(
        number=row.number,
        reference=cells["reference"],
        name=cells["name"],
        billing_email=cells["billing_email"],
        timezone=cells["timezone"],
        billing_cycle_anchor_date=anchor,
        status=OfficeStatus(status),
        says_past_due=says_past_due,
        plan=plan,
        collection_method=CollectionMethod(method),
    )


def _identifying_causes(cells: Mapping[str, str]) -> Iterator[Cause]:
    if cells["reference"] and not re.fullmatch(REFERENCE_PATTERN.strip("^$"), cells["reference"]):
        yield Cause("reference", ProblemCode.INVALID_REFERENCE)
    if not cells["name"].strip():
        yield Cause("name", ProblemCode.REQUIRED)
    too_long = {column for column, longest in _LONGEST.items() if len(cells[column]) > longest}
    yield from (Cause(column, ProblemCode.TOO_LONG) for column in _LONGEST if column in too_long)
    if cells["billing_email"] and "billing_email" not in too_long:
        try:
            validate_email(cells["billing_email"])
        except ValidationError:
            yield Cause("billing_email", ProblemCode.INVALID_EMAIL)


def _zone_causes(cells: Mapping[str, str], check_zone: ZoneCheck) -> Iterator[Cause]:
    if not cells["timezone"]:
        yield Cause("timezone", ProblemCode.REQUIRED)
    elif len(cells["timezone"]) <= _LONGEST["timezone"]:
        try:
            check_zone(cells["timezone"])
        except ValueError:
            yield Cause("timezone", ProblemCode.UNKNOWN_TIMEZONE)


def _anchor(cells: Mapping[str, str], causes: list[Cause]) -> date | None:
    text = cells["billing_cycle_anchor_date"]
    try:
        if not text:
            causes.append(Cause("billing_cycle_anchor_date", ProblemCode.REQUIRED))
            return None
        anchor = read_date(text)
    except CellInvalid as invalid:
        causes.append(Cause("billing_cycle_anchor_date", invalid.code))
        return None
    if anchor.year not in _ANCHOR_YEARS:
        causes.append(Cause("billing_cycle_anchor_date", ProblemCode.INVALID_DATE))
    return anchor
