"""The months that a page lets people choose from."""

from datetime import datetime

MONTHS_TO_CHOOSE = 24


def latest_months(now: datetime) -> list[str]:
    """Return the latest months, the present one first."""
    last = now.year * 12 + now.month - 1
    return [f"{number // 12}-{number % 12 + 1:02d}" for number in range(last, last - MONTHS_TO_CHOOSE, -1)]
