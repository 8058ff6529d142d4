"""Believe `X-Forwarded-*` only from the proxies named in TRUSTED_PROXIES.

Anybody can send these headers; one from elsewhere is dropped, so that it decides neither about TLS nor about who asks.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_FORWARDED = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")


class TrustedProxyMiddleware:
    """Drop forwarding headers that do not come from a trusted proxy; must stand before SecurityMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Clean the headers, then go on."""
        if request.META.get("REMOTE_ADDR") not in settings.TRUSTED_PROXIES:
            for name in _FORWARDED:
                request.META.pop(name, None)
        return self._get_response(request)
