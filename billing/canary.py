"""The canary: a leak that is tried on purpose every hour and must be refused, by the guard and for the right reason.

Nobody is in it: the text says of itself that it is synthetic, and the office does not exist. It is built so that it
stays here whatever fails. First the guard judges bytes that no client ever sends; only a guard that refuses each of
them sees the real path. There two values differ from what the ledger expects. Behind the guard, the adapter sends
nothing that carries the canary's mark (`transport.CANARY_MARK`); a refusal by it is a failure of the guard, and told
as one.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlencode

import structlog
from django.conf import settings

from billing.incidents import record_canary_failure
from billing.models import CanaryRun
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.client import API_VERSION, USER_AGENT
from billing.stripe_gateway.guard import Expectation, Guard
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import CreateCustomer
from billing.stripe_gateway.outbound_values import ApprovedProfile, OwnId
from billing.stripe_gateway.refusal import OutboundRefused, RefusalReason
from billing.stripe_gateway.replies import StripeUnavailable
from billing.stripe_gateway.transport import CANARY_MARK

logger = structlog.get_logger(__name__)

SYNTHETIC_NAME = f"{CANARY_MARK.decode()} Nobody 1900-01-01"
OPAQUE_NAME = "Office CANARY"


class CanaryOutcome(StrEnum):
    """What became of the canary."""

    BLOCKED = "blocked"
    NOT_BLOCKED = "not_blocked"
    # Our own rate limit had no turn: the guard was not reached. No run is recorded, and the report shows the gap.
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A request as bytes, of a shape that the encoder cannot make, and why it must be refused."""

    reason: RefusalReason
    method: str
    path: str
    body: bytes


def run_canary(*, actor: str, now: datetime) -> CanaryOutcome:
    """Try the leak and write down what became of it; one that was not blocked is a security incident."""
    outcome = _try_to_leak() if _guard_refuses_bytes() else CanaryOutcome.NOT_BLOCKED
    if outcome is CanaryOutcome.NOT_TRIED:
        logger.warning("canary_not_tried")
        return outcome
    CanaryRun.objects.create(at=now, blocked=outcome is CanaryOutcome.BLOCKED)
    if outcome is CanaryOutcome.NOT_BLOCKED:
        incident = record_canary_failure(actor=actor, now=now)
        logger.critical("canary_not_blocked", incident=incident.pk)
    return outcome


def _guard_refuses_bytes() -> bool:
    """Ask the guard about bytes; nothing is sent. It must refuse each, and say the reason that is true."""
    guard = Guard(
        base_url=settings.STRIPE_API_BASE,
        api_version=API_VERSION,
        user_agent=USER_AGENT,
        api_key=settings.STRIPE_API_KEY,
    )
    key = str(uuid.uuid4())
    for leak in _leaks():
        headers = guard.headers_for(leak.method, key if leak.method == "POST" else None)
        url = settings.STRIPE_API_BASE + leak.path
        refusal = guard.judge(leak.method, url, headers, leak.body, _expectation(uuid.uuid4()))
        if refusal is None or refusal.reason is not leak.reason:
            return False
    return True


def _leaks() -> Iterator[_Bytes]:
    reason = RefusalReason
    customer = {"name": OPAQUE_NAME, "metadata[office_id]": str(uuid.uuid4())}
    noted = urlencode(customer | {"description": SYNTHETIC_NAME}).encode()
    yield _Bytes(reason.PARAMETER_UNKNOWN, "POST", "/v1/customers", noted)
    named = urlencode(customer | {"name": SYNTHETIC_NAME}).encode()
    yield _Bytes(reason.VALUE_NOT_EXPECTED, "POST", "/v1/customers", named)
    disguised = urlencode(customer | {"name": f"{SYNTHETIC_NAME} \N{CYRILLIC SMALL LETTER A}"}).encode()
    yield _Bytes(reason.NOT_PRINTABLE_ASCII, "POST", "/v1/customers", disguised)
    yield _Bytes(reason.UNKNOWN_OPERATION, "GET", f"/v1/customers/search?{urlencode({'query': SYNTHETIC_NAME})}", b"")


def _try_to_leak() -> CanaryOutcome:
    """Send the synthetic name where the ledger expects the opaque one, through all that a real call goes through."""
    request = CreateCustomer(OwnId(uuid.uuid4()), ApprovedProfile(SYNTHETIC_NAME, None))
    try:
        call_stripe(request, expectation=_expectation(uuid.uuid4()), idempotency_key=uuid.uuid4())
    except OutboundRefused as refused:
        by_guard = refused.reason is RefusalReason.VALUE_NOT_EXPECTED
        return CanaryOutcome.BLOCKED if by_guard else CanaryOutcome.NOT_BLOCKED
    except StripeUnavailable as unavailable:
        held_here = unavailable.code == "rate_limited_here"
        return CanaryOutcome.NOT_TRIED if held_here else CanaryOutcome.NOT_BLOCKED
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not the refusal that must come
        logger.error("canary_failed", error=type(error))  # noqa: TRY400 - its text could quote the request
    return CanaryOutcome.NOT_BLOCKED


def _expectation(office_id: uuid.UUID) -> Expectation:
    return Expectation(Operation.CREATE_CUSTOMER, {"name": OPAQUE_NAME, "metadata[office_id]": str(office_id)})
