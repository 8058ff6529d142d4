"""One rate limit for all processes: each request reserves a slot of time through an atomic `add` in a shared cache.

Slots are 1/rate seconds long and a request starts where its slot starts, so any window of one second holds at most
`rate` starts. The wall clock is used because processes share it; the machines' clocks are assumed to agree.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

# A reservation must outlive its slot on every machine; clocks kept by NTP differ by far less.
_CLOCK_DIFFERENCE_SECONDS = 10


class AtomicCache(Protocol):
    """The one method of Django's cache API that is needed."""

    def add(self, key: str, value: int, timeout: int) -> bool:
        """Store the value unless the key exists; say whether it was stored. `timeout` is in seconds."""


class RateLimitSaturated(Exception):
    """No slot is free soon enough; nothing was reserved or sent. Try again in `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("no free slot for a request to Stripe")
        self.retry_after = retry_after


class SharedRateLimiter:
    """Hands out start times, at most `rate` (whole requests per second) in any one-second window.

    The cache's own exceptions pass through unchanged: without the shared limit nothing is sent.
    """

    def __init__(
        self,
        cache: AtomicCache,
        rate: int,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        longest_wait_seconds: int = 30,
    ) -> None:
        if rate < 1:
            raise ValueError("the rate is at least one request per second")
        self._cache, self._rate, self._clock, self._sleep = cache, rate, clock, sleep
        self._longest_wait = longest_wait_seconds
        self._last_reserved = 0
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Reserve the next free slot and return when it starts. Raises `RateLimitSaturated`."""
        start = self._reserve() / self._rate
        # Sleep may return early (signals, coarse timers), so look at the clock again.
        while (wait := start - self._clock()) > 0:
            self._sleep(wait)

    def _reserve(self) -> int:
        with self._lock:
            now = self._clock()
            # A slot that has begun is lost: starting late in one and early in the next would exceed the rate.
            slot = max(math.ceil(now * self._rate), self._last_reserved + 1)
            last = math.floor((now + self._longest_wait) * self._rate)
            while slot <= last:
                timeout = math.ceil(slot / self._rate - now) + _CLOCK_DIFFERENCE_SECONDS
                if self._cache.add(f"stripe-slot:{self._rate}:{slot}", 1, timeout):
                    self._last_reserved = slot
                    return slot
                slot += 1
        raise RateLimitSaturated(self._longest_wait)
