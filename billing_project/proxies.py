"""Believe `X-Forwarded-*` only from the proxies named in TRUSTED_PROXIES.

Anybody can send these headers; one from elsewhere is dropped, so that it decides neither about TLS nor about who asks.
"""

from collections.abc import Callable
from ipaddress import ip_address

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


def client_address(request: HttpRequest) -> str | None:
    """Return the address that asks: the last hop that is no proxy of ours, since a client can write the hops before.

    The header is there only if a trusted proxy sent it. What is no address is none.
    """
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    last = next((hop for hop in reversed(hops) if hop and hop not in settings.TRUSTED_PROXIES), "")
    for candidate in (last, request.META.get("REMOTE_ADDR", "")):
        try:
            return str(ip_address(candidate))
        except ValueError:
            continue
    return None
