"""Refuse an address of the console that holds NUL: PostgreSQL takes it in no text, so that a list or row would fail."""

from collections.abc import Callable

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse


class ConsoleAddressMiddleware:
    """Answers 400; the API refuses for itself, naming the parameter."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at the path, which is decoded, and at the query, which is not."""
        if request.path.startswith("/admin/") and ("\x00" in request.path or "%00" in request.META["QUERY_STRING"]):
            raise SuspiciousOperation("an address must not hold NUL")
        return self._get_response(request)
