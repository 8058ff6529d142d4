"""A number for each request: it stands in the answer and in every log line that is written meanwhile.

A caller may bring its own in `X-Request-Id`, as a UUID; anything else could be somebody's words, and is not taken.
"""

import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-Id"
_present: ContextVar[str] = ContextVar("request_id", default="")


def present_request_id() -> str:
    """Return the number of the request that is being answered in this thread; empty outside of one."""
    return _present.get()


class RequestIdMiddleware:
    """Stands first, so that whatever answers carries the number."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the request's number."""
        request_id = _well_formed(request.headers.get(HEADER, "")) or str(uuid.uuid4())
        request.request_id = request_id  # type: ignore[attr-defined]  # for lines written after we have answered
        token = _present.set(request_id)
        try:
            response = self._get_response(request)
        finally:
            _present.reset(token)
        response[HEADER] = request_id
        return response


def _well_formed(brought: str) -> str:
    """Return the UUID in its canonical form; empty when it is none."""
    try:
        number = uuid.UUID(brought)
    except ValueError:
        return ""
    return brought if brought == str(number) else ""
