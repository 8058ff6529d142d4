"""One-time codes without a telephone: what the app of a demo account would show, and has not been used yet."""

from datetime import datetime

from billing.models import StaffDevice
from billing.models.staff import STEP, TOLERANCE


def next_code(username: str, *, now: datetime, at_once: bool = False) -> str:
    """Return a code that opens the account now; empty when all that would are used up, for less than a minute.

    Each code is taken once, and lasts half a minute at least, for a person has to read and type it. With `at_once` the
    one of the step before does too, for a program. Raises StaffDevice.DoesNotExist.
    """
    device = StaffDevice.objects.get(user__username=username, confirmed=True)
    present = int(now.timestamp()) // STEP
    first = present - TOLERANCE if at_once else present
    unused = [step for step in range(first, present + TOLERANCE + 1) if step > device.last_step]
    return device.code_at(unused[0]) if unused else ""
