"""One-time codes without a telephone: what the app of a demo account would show, and has not been used yet."""

from datetime import datetime

from billing.models import StaffDevice
from billing.models.staff import STEP, TOLERANCE


def next_code(username: str, *, now: datetime) -> str:
    """Return a code that opens the account now; empty when all that would are used up, for less than a minute.

    Each code is taken once, but those of the step before and the step after count too: three log-ins in a row.
    Raises StaffDevice.DoesNotExist.
    """
    device = StaffDevice.objects.get(user__username=username, confirmed=True)
    present = int(now.timestamp()) // STEP
    unused = [step for step in range(present - TOLERANCE, present + TOLERANCE + 1) if step > device.last_step]
    return device.code_at(unused[0]) if unused else ""
