"""The only module that imports `stripe`: sends typed requests through the guard and returns parsed replies.

A request without an expectation, from wherever in the SDK it comes, ends in `OutboundRefused` before anything is sent.
"""

import logging
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeVar, cast

import stripe
from stripe import _http_client as sdk_http
from stripe import _util as sdk_util

from billing.stripe_gateway.evidence import SentRequest, sent_request
from billing.stripe_gateway.guard import Expectation, Guard
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import EncodedRequest, OutboundRequest
from billing.stripe_gateway.rate_limit import RateLimitSaturated
from billing.stripe_gateway.refusal import OutboundRefused, Refusal, RefusalReason
from billing.stripe_gateway.replies import (
    CallFailure,
    ErrorSummary,
    StripeReplyUnusable,
    StripeUnavailable,
    failure_of,
    is_utf8,
    seconds_to_wait,
    summarize_error,
)
from billing.stripe_gateway.reply_parsers import PARSERS
from billing.stripe_gateway.strict_fields import InboundMalformed
from billing.stripe_gateway.transport import CURRENT_EXCHANGE, BareSession, Exchange, candidate
from billing.stripe_gateway.webhook import EventEnvelope, judge_webhook

Reply = TypeVar("Reply")

# The version the SDK's types describe and the webhook endpoint is created with; a test compares it with the SDK's.
API_VERSION = "2026-10-28.endive"
USER_AGENT = "clinic-billing/1"
# Connect within 5 s; Stripe answers within 30 s or the outbox tries again (the SDK's default would be 80 s).
_TIMEOUT = (5, 30)
# A name that RFC 6761 keeps from ever resolving, for the SDK's other doors: files, connect, meter events.
_DEAD_BASE = "https://closed.invalid"


class StripeLoggingEnabled(RuntimeError):
    """The SDK was told to print requests (`STRIPE_LOG` or `stripe.log`); the program must not start like that."""


class RefusingClient(stripe.HTTPClient):
    """An HTTP client with every channel closed; the SDK's default wherever nobody passes another one."""

    name = "guarded"

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        super().__init__()

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_more: Any) -> Any:
        """Refuse: the call did not come through `StripeGateway.call`."""
        del method, url, headers, post_data
        raise OutboundRefused(Refusal(RefusalReason.NO_EXPECTATION))

    def request_stream(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse: nothing is streamed."""
        raise OutboundRefused(Refusal(RefusalReason.CHANNEL_CLOSED))

    async def request_async(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse: nothing is sent asynchronously."""
        raise OutboundRefused(Refusal(RefusalReason.CHANNEL_CLOSED))

    async def request_stream_async(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse: nothing is streamed asynchronously."""
        raise OutboundRefused(Refusal(RefusalReason.CHANNEL_CLOSED))

    def close(self) -> None:
        """Nothing is open."""

    async def close_async(self) -> None:
        """Nothing is open."""


class GuardedClient(RefusingClient):
    """Let the guard judge each request, then send exactly that one; hand the SDK only harmless parts of an error."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._session = BareSession()
        self._inner = stripe.RequestsClient(timeout=_TIMEOUT, session=self._session)

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_more: Any) -> Any:
        """Send a judged request. Raises `OutboundRefused`, or the SDK's connection error."""
        exchange = CURRENT_EXCHANGE.get()
        # One call is one request: whatever asks twice is a retry nobody ordered.
        expectation = None if exchange is None or exchange.inspected is not None else exchange.expectation
        judged = candidate(method, url, headers, post_data, user_agent=USER_AGENT)
        self._guard.inspect(judged.method, judged.url, judged.headers, judged.body, expectation)
        assert exchange is not None  # noqa: S101 - the guard refuses without an expectation; this tells the type checker
        exchange.inspected = judged
        body, status, reply_headers = self._inner.request(judged.method, judged.url, judged.headers, judged.body)
        if not 200 <= status < 300:
            exchange.error = summarize_error(body)
            body = exchange.error.as_body()
        elif not is_utf8(body):
            # The SDK would fail on it with an exception that holds the body; an empty one it calls no JSON.
            body = b""
        return body, status, reply_headers

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class StripeGateway:
    """Stripe, for one API key. Thread-safe; keeps its connections.

    `acquire` is called before each request and waits for its turn. `on_request` gets the evidence of each request that
    left, after its reply or failure; what it raises passes through, so raise only when the outbox should look again.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        acquire: Callable[[], None],
        on_request: Callable[[SentRequest], None] | None = None,
    ) -> None:
        install()
        self.guard = Guard(base_url=base_url, api_version=API_VERSION, user_agent=USER_AGENT, api_key=api_key)
        self._http = GuardedClient(self.guard)
        self._acquire, self._on_request = acquire, on_request
        self._client = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": base_url, "files": _DEAD_BASE, "connect": _DEAD_BASE, "meter_events": _DEAD_BASE},
            max_network_retries=0,
            http_client=self._http,
        )

    def call(
        self,
        request: OutboundRequest[Reply],
        *,
        expectation: Expectation,
        idempotency_key: uuid.UUID | None = None,
    ) -> Reply:
        """Send one request and return its parsed reply; a write needs its stored random key, a read takes none.

        Raises `OutboundRefused` (nothing left), `StripeUnavailable`, `StripeRefused` or `StripeReplyUnusable`. None of
        them holds or is chained to anything Stripe said beyond its codes.
        """
        outcome = self._attempt(request.encode(), expectation, idempotency_key)
        # Raised here, outside of any handler, so that no context hangs on it.
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Reply", outcome)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _attempt(self, encoded: EncodedRequest, expectation: Expectation, key: uuid.UUID | None) -> object:
        write = encoded.method == "POST"
        if write != (key is not None):
            return OutboundRefused(Refusal(RefusalReason.IDEMPOTENCY_KEY, encoded.operation))
        try:
            self._acquire()
        except RateLimitSaturated as saturated:
            return StripeUnavailable("rate_limited_here", ambiguous=False, retry_after=saturated.retry_after)
        exchange = Exchange(expectation and replace(expectation, idempotency_key=str(key) if write else None))
        outcome = self._send(encoded, exchange, key)
        if not isinstance(outcome, Exception):
            outcome = _parse(encoded.operation, outcome, write=write)
        evidence = sent_request(
            encoded.operation, exchange, idempotency_key=key, error_code=getattr(outcome, "code", None)
        )
        if evidence is not None and self._on_request is not None:
            self._on_request(evidence)
        return outcome

    def _send(self, encoded: EncodedRequest, exchange: Exchange, key: uuid.UUID | None) -> object:
        options: dict[str, Any] = {**dict(encoded.params)}
        if key is not None:
            options["idempotency_key"] = str(key)
        token = CURRENT_EXCHANGE.set(exchange)
        try:
            return self._client.raw_request(encoded.method.lower(), encoded.path, **options).data
        except OutboundRefused as refused:
            # The frames below hold the request's text; the incident id is enough to find it.
            return refused.with_traceback(None)
        except stripe.StripeError:
            return _failure(exchange, write=key is not None)
        finally:
            CURRENT_EXCHANGE.reset(token)


def install() -> None:
    """Close the SDK's other doors for this process; safe to repeat. Raises `StripeLoggingEnabled`.

    Module-level calls, objects that carry the global client, and clients made without one of ours all end in
    `RefusingClient`. Called when the apps are ready, and by every gateway.
    """
    if os.environ.get("STRIPE_LOG") or sdk_util.STRIPE_LOG or stripe.log:
        raise StripeLoggingEnabled("unset STRIPE_LOG: the SDK would print requests and replies")
    stripe.api_key = None
    stripe.client_id = None
    stripe.app_info = None
    stripe.proxy = None
    stripe.enable_telemetry = False
    stripe.max_network_retries = 0
    stripe.api_base = stripe.connect_api_base = stripe.upload_api_base = stripe.meter_events_api_base = _DEAD_BASE
    stripe.default_http_client = RefusingClient()
    for factory in ("_default_sync_client", "_default_async_client"):
        # Names of the SDK's own: fail loudly when a new version moves them, rather than guard nothing.
        getattr(sdk_http, factory)
        setattr(sdk_http, factory, RefusingClient)
    for name in ("stripe", "urllib3.connectionpool"):
        # A filter stays when logging is configured again later; a level would not.
        logger = logging.getLogger(name)
        if not any(isinstance(known, _ErrorsOnly) for known in logger.filters):
            logger.addFilter(_ErrorsOnly())


def verify_webhook(payload: bytes, signature_header: str, secrets: Sequence[str], now: int) -> EventEnvelope:
    """Return the envelope of a genuine event signed within [now - 300, now + 60] Unix seconds.

    Any of several secrets will do (rotation). Raises `WebhookRefused`, which never quotes the body.
    """
    return judge_webhook(payload, signature_header, secrets, now, signed_with=_signed_with)


class _ErrorsOnly(logging.Filter):
    """Below ERROR both libraries print URLs, bodies or header lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


def _signed_with(payload: str, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(payload, header, secret, tolerance=None))
    except stripe.SignatureVerificationError:
        return False


def _failure(exchange: Exchange, *, write: bool) -> CallFailure | OutboundRefused:
    if exchange.refusal is not None:
        return OutboundRefused(exchange.refusal)
    if exchange.status is None:
        code = "no_reply" if exchange.connected else "connect_failed"
        return StripeUnavailable(code, ambiguous=write and exchange.connected)
    if exchange.oversized:
        return StripeReplyUnusable("too_large", ambiguous=write)
    if 200 <= exchange.status < 300:
        return StripeReplyUnusable("not_json", ambiguous=write)
    wait = seconds_to_wait(exchange.retry_after)
    return failure_of(exchange.status, exchange.error or ErrorSummary(), write=write, retry_after=wait)


def _parse(operation: Operation, data: object, *, write: bool) -> object:
    try:
        return PARSERS[operation](data)
    except InboundMalformed as malformed:
        return StripeReplyUnusable("malformed", ambiguous=write, field=malformed.field)
