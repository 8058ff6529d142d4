"""The last metre: a session with no defaults of its own, and an adapter that sends only what the guard judged.

`requests` normalises URLs, keeps cookies, reads `.netrc` and proxies and follows redirects; here each of these is off,
and the adapter still compares the prepared request with the judged one byte for byte.
"""

import os
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter

from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.refusal import Refusal, RefusalReason
from billing.stripe_gateway.replies import ErrorSummary

# Our largest replies are pages of 100 invoices with lines, about 0.5 MB; beyond 2 MiB something is wrong.
LARGEST_REPLY = 2 * 1024 * 1024
# The read timeout counts from byte to byte; this ends a reply that drips.
_LONGEST_REPLY_SECONDS = 60.0
# The canary's text carries it (billing/canary.py): bytes that the guard must refuse, and that stay here if it does not.
CANARY_MARK = b"SYNTHETIC-CANARY"
# Interpreter, platform and a machine id: the SDK adds it, nobody at Stripe needs it.
_MACHINE_DETAILS = "x-stripe-client-user-agent"
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Inspected:
    """A request exactly as the guard let it pass; header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Exchange:
    """One call on its way through the SDK: what it is allowed to be, and what became of it."""

    expectation: Expectation
    inspected: Inspected | None = None
    refusal: Refusal | None = None
    sent: bool = False
    connected: bool = False
    status: int | None = None
    oversized: bool = False
    replayed: bool = False
    retry_after: str | None = None
    error: ErrorSummary | None = None


def candidate(method: str, url: str, headers: Mapping[str, str], body: object, *, user_agent: str) -> Inspected:
    """Build what would be sent: our user agent, no machine details, brackets percent-encoded as the wire has them."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower != _MACHINE_DETAILS:
            # Two spellings of one header stay two, so that the guard sees and refuses them.
            kept[name.upper() if lower in kept else lower] = value
    kept["user-agent"] = user_agent
    path, question, query = url.partition("?")
    data = _brackets(body).encode("utf-8", "surrogatepass") if isinstance(body, str) else body or b""
    # A body that is neither text nor bytes goes to the guard as it is and ends there.
    return Inspected(method.upper(), path + question + _brackets(query), kept, cast("bytes", data))


def _brackets(form: str) -> str:
    return form.replace("[", "%5B").replace("]", "%5D")


CURRENT_EXCHANGE: ContextVar[Exchange | None] = ContextVar("stripe_exchange", default=None)
"""Set by `StripeGateway.call` and by nothing else; without it every request is refused."""


class ReplyTooSlow(OSError):
    """A reply was still arriving after a minute; seen by the SDK as a connection failure."""


class GuardedAdapter(HTTPAdapter):
    """Send a prepared request only when it equals the inspected one; read the reply up to a limit of size and time."""

    def __init__(self) -> None:
        # 50 connections is the most the product opens at once (decision 39).
        super().__init__(pool_connections=1, pool_maxsize=50, max_retries=0)
        self._process = os.getpid()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send once. Raises `requests` exceptions only; a refusal is left on the exchange."""
        exchange = CURRENT_EXCHANGE.get()
        judged = exchange.inspected if exchange is not None and not exchange.sent else None
        if exchange is None or judged is None or _differs(request, judged) or _is_canary(judged):
            if exchange is not None:
                exchange.refusal = exchange.refusal or Refusal(RefusalReason.CHANGED_AFTER_INSPECTION)
            raise requests.exceptions.InvalidURL("refused")
        self._renew_after_fork()
        exchange.sent = True
        kwargs.update(stream=True, proxies=None)
        try:
            response = super().send(request, *args, **kwargs)
        except Exception as error:
            exchange.connected = not _never_connected(error)
            raise
        exchange.connected = True
        return _bounded(response, exchange)

    def _renew_after_fork(self) -> None:
        # Two processes on one TLS connection would read each other's replies.
        if self._process != os.getpid():
            self._process = os.getpid()
            self.init_poolmanager(1, 50, block=False)


class BareSession(requests.Session):
    """A session without cookies, `.netrc`, proxies, redirects or default headers."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers.clear()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.adapters.clear()
        self._adapter = GuardedAdapter()
        for scheme in ("https://", "http://"):
            self.mount(scheme, self._adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the base class's signature
        """Follow no redirect: the key would go to an address nobody judged."""
        return None


def _is_canary(inspected: Inspected) -> bool:
    return CANARY_MARK in inspected.body or CANARY_MARK.decode() in inspected.url


def _differs(request: requests.PreparedRequest, inspected: Inspected) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    length = headers.pop("content-length", None)
    expected_length = str(len(inspected.body)) if inspected.method == "POST" else None
    return (
        request.method != inspected.method
        or request.url != inspected.url
        or (request.body or b"") != inspected.body
        or length != expected_length
        or headers != inspected.headers
    )


def _never_connected(error: Exception) -> bool:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    # Names instead of classes: urllib3 is a dependency of `requests`, not ours. Covers refused and unresolved hosts.
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}


def _bounded(response: requests.Response, exchange: Exchange) -> requests.Response:
    """Read the body here, without decompression, and keep of the headers only two that are needed."""
    deadline = time.monotonic() + _LONGEST_REPLY_SECONDS
    body = bytearray()
    encoded = response.headers.get("content-encoding", "identity").lower() != "identity"
    while not encoded and (chunk := response.raw.read1(_CHUNK)):
        body += chunk
        if len(body) > LARGEST_REPLY:
            exchange.oversized = True
            break
        if time.monotonic() > deadline:
            response.raw.close()
            raise ReplyTooSlow
    if encoded or exchange.oversized:
        body.clear()
        response.raw.close()
    exchange.status = response.status_code
    exchange.retry_after = response.headers.get("retry-after")
    exchange.replayed = response.headers.get("idempotent-replayed") == "true"
    response.headers.clear()
    response._content = bytes(body)  # what `requests` itself sets once it has read a body
    response._content_consumed = True  # type: ignore[attr-defined]
    response.raw.release_conn()
    return response
