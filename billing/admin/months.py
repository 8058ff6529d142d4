"""The months that a page lets people choose from, newest first."""

from datetime import datetime

from billing.models import BillingCycle

MONTHS_TO_CHOOSE = 24


def latest_months(now: datetime) -> list[str]:
    """Return the months counted back from the present one."""
    return _back_from(now.year, now.month)


def months_of_books(now: datetime) -> list[str]:
    """Return the months counted back from the newest open cycle; without any cycle from the present month.

    Reading the months of all cycles would scan the table.
    """
    open_ones = BillingCycle.objects.filter(closed_at=None).order_by("-end_at")
    newest = open_ones.values_list("key", flat=True).first()
    newest = newest or BillingCycle.objects.order_by("-pk").values_list("key", flat=True).first()
    return latest_months(now) if newest is None else _back_from(int(newest[:4]), int(newest[5:]))


def _back_from(year: int, month: int) -> list[str]:
    last = year * 12 + month - 1
    return [f"{number // 12}-{number % 12 + 1:02d}" for number in range(last, last - MONTHS_TO_CHOOSE, -1)]
