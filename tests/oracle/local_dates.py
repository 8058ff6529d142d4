"""Calendar arithmetic from scratch: cycle dates counted from the anchor, and the instant a local day begins."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
ONE_MINUTE = timedelta(minutes=1)
WIDEST_OFFSET = timedelta(hours=15)  # no zone is further than 14 hours from UTC


def last_day_of_month(year: int, month: int) -> int:
    first_of_next = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
    return (first_of_next - ONE_DAY).day


def start_date(anchor: date, index: int) -> date:
    """Anchor plus `index` months, clamped to the month's last day; always counted from the anchor itself."""
    months = anchor.year * 12 + (anchor.month - 1) + index
    year, month = months // 12, months % 12 + 1
    return date(year, month, min(anchor.day, last_day_of_month(year, month)))


def month_key(day: date) -> str:
    return f"{day.year:04d}-{day.month:02d}"


@cache
def first_instant(day: date, zone: str) -> datetime:
    """The first instant at which a wall clock in `zone` shows `day` (or, were it skipped, a later one).

    Minute by minute, so that nothing about folds and gaps has to be known: a midnight that does not exist gives
    the day's first instant, a midnight that happens twice gives the first of the two.
    """
    clock = ZoneInfo(zone)
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - WIDEST_OFFSET
    while instant.astimezone(clock).date() < day:
        instant += ONE_MINUTE
    return instant
