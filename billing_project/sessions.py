"""A session of staff ends 15 minutes after its last request and 12 hours after its log-in, whatever the browser keeps.

Automatic log-off (45 CFR 164.312(a)(2)(iii)). Both times are kept with the session on the server.
"""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

IDLE: timedelta = timedelta(minutes=15)
LONGEST: timedelta = timedelta(hours=12)
# The last request is written down once a minute, not with each: so the 15 minutes are 14 at the least.
NOTED_EVERY = timedelta(minutes=1)

_BEGUN, _SEEN = "begun", "seen"  # seconds since 1970, in the session


class StaffSessionMiddleware:
    """Ends the session of whoever was away too long; must stand behind the authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Log out, or note that the person is there. No cache keeps an answer to a person, not even a 404."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return self._get_response(request)
        if request.user.is_authenticated:
            keep_or_end(request, now=timezone.now().timestamp())
        response = self._get_response(request)
        add_never_cache_headers(response)
        return response


def keep_or_end(request: HttpRequest, *, now: float) -> None:
    """End the session when its time is over, otherwise note the request."""
    session = request.session
    begun, seen = session.setdefault(_BEGUN, now), session.setdefault(_SEEN, now)
    over = "idle" if now - seen >= IDLE.total_seconds() else ""
    over = "too_long" if now - begun >= LONGEST.total_seconds() else over
    if over:
        request.session_ended = over  # type: ignore[attr-defined]  # told by the entry of the log-out
        logout(request)
    elif now - seen >= NOTED_EVERY.total_seconds():
        session[_SEEN] = now


def begin(session: SessionBase, *, now: float) -> None:
    """Start both times anew: somebody has just proved who they are."""
    session[_BEGUN] = session[_SEEN] = now
