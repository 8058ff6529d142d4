"""The connection to Stripe as the settings describe it: one gateway and one rate limiter for the process.

Stores the evidence of each request that left (privacy.md, "The barrier" 3), on its outbox message where it has one.
"""

import uuid
from contextvars import ContextVar
from functools import lru_cache
from typing import TypeVar

import structlog
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from billing.models import OutboundRequest, OutboxMessage
from billing.stripe_gateway.client import StripeGateway
from billing.stripe_gateway.evidence import SentRequest
from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.outbound import OutboundRequest as Request
from billing.stripe_gateway.rate_limit import RateLimitSaturated, SharedRateLimiter

logger = structlog.get_logger(__name__)

Reply = TypeVar("Reply")

CACHE_AWAY_SECONDS = 10  # Redis is back within seconds as a rule; the outbox asks again then

_message: ContextVar[OutboxMessage | None] = ContextVar("message", default=None)


def call_stripe(
    request: Request[Reply],
    *,
    expectation: Expectation,
    idempotency_key: uuid.UUID | None = None,
    message: OutboxMessage | None = None,
) -> Reply:
    """Send one request through the guard and return the parsed reply; never inside a transaction or under a lock.

    Raises what `StripeGateway.call` raises.
    """
    token = _message.set(message)
    try:
        return _gateway(settings.STRIPE_API_KEY, settings.STRIPE_API_BASE, settings.STRIPE_RATE_PER_SECOND).call(
            request, expectation=expectation, idempotency_key=idempotency_key
        )
    finally:
        _message.reset(token)


def live_mode() -> bool:
    """Whether our key moves real money; Stripe writes the mode into each key (`sk_live_`, `rk_test_`)."""
    return settings.STRIPE_API_KEY.startswith(("sk_live_", "rk_live_"))


@lru_cache(maxsize=4)
def _gateway(api_key: str, base_url: str, rate: int) -> StripeGateway:
    limiter = SharedRateLimiter(cache, rate)
    return StripeGateway(
        api_key=api_key, base_url=base_url, acquire=lambda: _take_turn(limiter), on_request=_store_evidence
    )


def _take_turn(limiter: SharedRateLimiter) -> None:
    """Wait for a turn. While the shared cache is away nothing is sent: it is tried again, no office is parked."""
    try:
        limiter.acquire()
    except RateLimitSaturated:
        raise
    except Exception as error:  # noqa: BLE001 - each cache has exceptions of its own
        logger.warning("rate_limit_unreachable", error=type(error))
        raise RateLimitSaturated(CACHE_AWAY_SECONDS) from None


def _store_evidence(sent: SentRequest) -> None:
    OutboundRequest.objects.create(
        message=_message.get(),
        sent_at=timezone.now(),  # when it left is a measurement, not a rule
        operation=sent.operation,
        method=sent.method,
        path=sent.path,
        query=sent.query,
        body=sent.body,
        digest=sent.sha256,
        idempotency_key=sent.idempotency_key,
        policy_version=sent.policy_version,
        status=sent.status,
        error_code=sent.error_code or "",
        replayed=sent.replayed,
    )
