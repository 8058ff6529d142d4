"""How often a key may call: a count for each minute in the shared cache, told in the RateLimit headers.

The framework's own throttle keeps a list of instants and writes it back without a lock; a counter is one number, and
`incr` is atomic where several processes share the cache.
"""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from billing.api.credentials import Credential

WINDOW_SECONDS = 60
_NAME = '"minute"'  # of the policy, as a structured field (RFC 9651)


class KeyThrottle(BaseThrottle):
    """At most API_RATE_PER_MINUTE calls of one credential in a minute of the clock."""

    clock: Callable[[], float] = staticmethod(time.time)

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        """Count the call and tell whether it is still within the limit. A cache that is down limits nobody."""
        self._wait = 0
        if not isinstance(request.auth, Credential):
            return True
        limit, now = int(settings.API_RATE_PER_MINUTE), int(self.clock())
        window, passed = divmod(now, WINDOW_SECONDS)
        try:
            count = _counted(f"api-calls:{request.auth.actor}:{window}")
        except RedisError:
            return True
        left = WINDOW_SECONDS - passed
        headers: Any = request._request
        headers.rate_limit = rate_limit_headers(limit=limit, remaining=max(limit - count, 0), seconds=left)
        self._wait = left
        return count <= limit

    def wait(self) -> float | None:
        """Return the seconds until the next minute, for Retry-After."""
        return self._wait


def _counted(key: str) -> int:
    """Return how many there are now, this one among them."""
    try:
        return int(cache.incr(key))
    except ValueError:  # the first of this minute
        return 1 if cache.add(key, 1, timeout=2 * WINDOW_SECONDS) else int(cache.incr(key))


def rate_limit_headers(*, limit: int, remaining: int, seconds: int) -> dict[str, str]:
    """Return the two fields of the IETF's draft on RateLimit headers: the policy, and what is left of it."""
    return {
        "RateLimit-Policy": f"{_NAME};q={limit};w={WINDOW_SECONDS}",
        "RateLimit": f"{_NAME};r={remaining};t={seconds}",
    }
