"""Which cycle holds this moment? Pure date arithmetic (product.md rule 6).

Cycle k starts k months after the anchor date, always counted from the anchor and clamped to the month's last day:
31 Jan, 28 Feb, 31 Mar. Counting from the previous start instead would drift to the 28th for ever; never do that.
Boundaries are local midnights; cycles neither gap nor overlap, also when the zone changes.
"""

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MONTHS_PER_YEAR = 12

ZoneAt = Callable[[datetime], str]


@dataclass(frozen=True, slots=True)
class CycleSpan:
    """One cycle in time: local dates [start_date, end_date), instants [start_at, end_at), both half-open."""

    index: int
    start_date: date
    end_date: date
    start_at: datetime
    end_at: datetime
    zone: str

    @property
    def key(self) -> str:
        """`YYYY-MM` of the start; unique per office, because exactly one cycle starts in each calendar month."""
        return f"{self.start_date:%Y-%m}"


def start_date(anchor: date, index: int) -> date:
    """Return the local start date of cycle `index`: anchor + index months, clamped to the month's last day."""
    months = anchor.year * MONTHS_PER_YEAR + anchor.month - 1 + index
    year, month = divmod(months, MONTHS_PER_YEAR)
    return date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))


def index_on(anchor: date, day: date) -> int:
    """Return the index of the cycle that holds the local date `day`."""
    index = (day.year - anchor.year) * MONTHS_PER_YEAR + day.month - anchor.month
    return index if start_date(anchor, index) <= day else index - 1


def first_instant(day: date, zone: str) -> datetime:
    """Return local midnight in UTC: the first of two, and where none exists the day's first instant."""
    zone_info = ZoneInfo(zone)
    midnight = datetime.combine(day, time(0))
    instant = midnight.replace(tzinfo=zone_info).astimezone(UTC)
    if instant.astimezone(zone_info).replace(tzinfo=None) == midnight:
        return instant
    # The clock jumped over midnight: search the jump, the first instant whose local time is not before midnight.
    before, after = instant - timedelta(days=2), instant + timedelta(days=2)
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone_info).replace(tzinfo=None) < midnight:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def span_containing(anchor: date, at: datetime, zone_at: ZoneAt) -> CycleSpan:
    """Return the cycle that holds the instant `at`.

    Walks up from a cycle two months earlier, so that a zone changed since then moves the boundaries exactly as it
    would have with all the cycles opened in time.
    """
    index = index_on(anchor, at.date()) - 2
    zone = zone_at(first_instant(start_date(anchor, index), "UTC"))
    spans = spans_after(anchor, index - 1, first_instant(start_date(anchor, index), zone), zone_at)
    return next(span for span in spans if span.end_at > at)


def spans_after(anchor: date, index: int, end_at: datetime, zone_at: ZoneAt) -> Iterator[CycleSpan]:
    """Yield the cycles that follow cycle `index`, each starting at the very instant the one before it ended."""
    while True:
        index += 1
        span = _span(anchor, index, end_at, zone_at(end_at))
        yield span
        end_at = span.end_at


def _span(anchor: date, index: int, start_at: datetime, zone: str) -> CycleSpan:
    end_date = start_date(anchor, index + 1)
    return CycleSpan(
        index=index,
        start_date=start_date(anchor, index),
        end_date=end_date,
        start_at=start_at,
        end_at=first_instant(end_date, zone),
        zone=zone,
    )
