"""The stand-in's clock: the wall clock, until a demo sets it to a simulated instant."""

import time
from datetime import datetime


class Clock:
    """Seconds since the epoch (UTC), as Stripe's `created` counts them."""

    def __init__(self) -> None:
        self._fixed: int | None = None

    @property
    def fixed(self) -> int | None:
        """The simulated instant, or None while the wall clock is used."""
        return self._fixed

    def now(self) -> int:
        """Return the current second."""
        return int(time.time()) if self._fixed is None else self._fixed

    def set(self, instant: datetime | int | None) -> None:
        """Stand still at an instant (epoch seconds or an aware datetime); None returns to the wall clock."""
        if isinstance(instant, datetime):
            if instant.tzinfo is None:
                raise ValueError("The clock needs an aware datetime: a naive one names no instant.")
            instant = int(instant.timestamp())
        self._fixed = instant

    def advance(self, seconds: int) -> None:
        """Move on by some seconds and stand still there."""
        self._fixed = self.now() + seconds
