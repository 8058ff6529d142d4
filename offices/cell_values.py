"""Dates and instants as the imports write them: ISO 8601 in its extended form, nothing looser."""

import re
from datetime import UTC, date, datetime

from offices.import_findings import ProblemCode

# The standard library also reads 20260131, 2026-W05-6 and any separator: in a hand-made file those are slips.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


class CellInvalid(ValueError):
    """The cell is not what its column asks for; carries the code, never the text."""

    def __init__(self, code: ProblemCode) -> None:
        super().__init__(code)
        self.code = code


def read_date(text: str) -> date:
    """Return the calendar day; raise CellInvalid."""
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise CellInvalid(ProblemCode.INVALID_DATE)


def read_instant(text: str, *, now: datetime) -> datetime:
    """Return the instant in UTC; raise CellInvalid when unreadable, without a zone, or after `now`."""
    instant = _instant(text)
    if instant > now:
        raise CellInvalid(ProblemCode.FUTURE_TIME)
    return instant


def _instant(text: str) -> datetime:
    if _TIME.fullmatch(text):
        try:
            parsed = datetime.fromisoformat(text)
            if parsed.tzinfo is not None:
                return parsed.astimezone(UTC)  # the first and last day of the calendar overflow
        except (ValueError, OverflowError):
            pass
        else:
            raise CellInvalid(ProblemCode.TIME_WITHOUT_ZONE)
    raise CellInvalid(ProblemCode.INVALID_TIME)
