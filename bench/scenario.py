"""The month that is billed: one first run in January, one month end in February, and who does it."""

from dataclasses import dataclass
from datetime import UTC, datetime

# Anchors are days 1 to 28 of the month in several zones: at each of these instants every office has just one cycle
# to open, and at the second one also just one to close.
FIRST_RUN_AT = datetime(2026, 1, 31, 23, tzinfo=UTC)
MONTH_END_AT = datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
ACTOR = "bench"
CHUNK = 500  # offices, the product's own chunk size


@dataclass(frozen=True, slots=True)
class Size:
    """How many offices, and how many patients each of them has."""

    offices: int
    patients: int

    @property
    def lines(self) -> int:
        """How many line items one run makes."""
        return self.offices * self.patients

    def __str__(self) -> str:
        return f"{self.lines:,} lines ({self.offices:,} offices x {self.patients:,} patients)"
