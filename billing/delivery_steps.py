"""Lease a message, and take it to Stripe step by step: each write is a recovery point of its own.

The step's row is committed before the request leaves, so a crash leaves the proof that it may have arrived. Then the
next try looks before it sends again (measured with kill -9 and lost keys: a fixed key alone 35 double charges in 200
kills, key and look first 0 in 1,001).
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.expected_news import expect_news
from billing.fail_points import FailPoint, reach
from billing.models import MessageKind, MessageStatus, OutboxMessage, OutboxStep
from billing.restored_books import lost_try
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.outbound import OutboundRequest
from billing.stripe_gateway.outbound_values import StripeId
from billing.stripe_gateway.replies import StripeRefused, StripeUnavailable
from offices.audit_stream import office_stream

# Renewed at every step. What a dead worker held must go on within a minute: this and a sweep, which comes every 15 s.
# A request takes part of a second as a rule; one that outlives its lease (a reply that drips, a long queue for the
# rate limit) is found by the next worker's look, or meets its own key.
LEASE = timedelta(seconds=30)
FIRST_BACK_OFF, LONGEST_BACK_OFF = timedelta(seconds=5), timedelta(hours=1)
# Stripe forgets a key after 24 h; a repeat after that would be a second charge (stripe/facts.md, "Idempotency").
KEY_LIFETIME = timedelta(hours=23)

Clock = Callable[[], datetime]


class LeaseLost(Exception):
    """Another worker has the message by now; what was sent is found by its look."""


class StripeObjectUnexpected(Exception):
    """Stripe holds something else than what we sent; the office is parked."""


class StripeTotalDiffers(StripeObjectUnexpected):
    """Stripe's total is not ours: it must not be finalized."""


def waiting_messages(now: datetime) -> QuerySet[OutboxMessage]:
    """Return the messages that may be sent now: due or abandoned, of offices not parked and known to Stripe."""
    due = Q(status=MessageStatus.PENDING, next_attempt_at__lte=now)
    abandoned = Q(status=MessageStatus.LEASED, lease_expires_at__lte=now)
    known = Q(kind=MessageKind.CUSTOMER) | Q(office__stripe_account__isnull=False)
    return OutboxMessage.objects.filter((due | abandoned) & known, office__parked_at__isnull=True)


def lease_next(now: datetime) -> OutboxMessage | None:
    """Take the message that waits longest; its next try is written down before this one begins."""
    with transaction.atomic():
        waiting = waiting_messages(now).order_by("next_attempt_at", "created_at")
        if connection.features.has_select_for_update_skip_locked:
            waiting = waiting.select_for_update(skip_locked=True, of=("self",))
        message = waiting.first()
        if message is None:
            return None
        message.status, message.lease_token = MessageStatus.LEASED, uuid.uuid4()
        message.lease_expires_at = now + LEASE
        message.attempts += 1
        message.next_attempt_at = now + _back_off(message.attempts)
        message.save(update_fields=["status", "lease_token", "lease_expires_at", "attempts", "next_attempt_at"])
    reach(FailPoint.DELIVERY_LEASED)
    return message


def _back_off(attempts: int) -> timedelta:
    """Double from 5 seconds to an hour, with up to a quarter of jitter so that retries do not march in step."""
    doubled: timedelta = min(FIRST_BACK_OFF * 2 ** min(attempts - 1, 20), LONGEST_BACK_OFF)
    return doubled * random.uniform(1, 1.25)  # noqa: S311 - jitter, not a secret


def release(
    message: OutboxMessage, *, status: MessageStatus, now: datetime, code: str = "", retry_after: int | None = None
) -> None:
    """Give the lease back with what came of it; does nothing when the lease is lost."""
    changes: dict[str, object] = {"status": status, "lease_token": None, "lease_expires_at": None, "error_code": code}
    if status == MessageStatus.DONE:
        changes["done_at"] = now
    if retry_after is not None:
        # At least a second: "try again at once" must not become a tight loop.
        changes["next_attempt_at"] = now + timedelta(seconds=max(retry_after, 1))
    OutboxMessage.objects.filter(pk=message.pk, lease_token=message.lease_token).update(**changes)


def hold(message: OutboxMessage, now: datetime) -> None:
    """Renew the lease; raise LeaseLost when it is no longer ours."""
    ours = OutboxMessage.objects.filter(pk=message.pk, lease_token=message.lease_token, status=MessageStatus.LEASED)
    if not ours.update(lease_expires_at=now + LEASE):
        raise LeaseLost("the lease went to another worker")


@dataclass(frozen=True, slots=True)
class Write:
    """One write to Stripe: the request, what the ledger expects, and how to look whether it already happened."""

    position: int
    request: OutboundRequest[Any]
    expectation: Expectation
    look: Callable[[OutboxStep], str | None]
    id_of: Callable[[Any], StripeId]


@dataclass(frozen=True, slots=True)
class Performed:
    """A write that is done: the id of its Stripe object, and the reply when it was sent just now."""

    object_id: str
    reply: object | None = None


def perform(message: OutboxMessage, write: Write, clock: Clock) -> Performed:
    """Bring the write about exactly once.

    Raises what `call_stripe` raises, LeaseLost, StripeObjectUnexpected.
    """
    step = _step(message, write)
    if step.done_at is not None:
        return Performed(step.object_id)
    if step.first_sent_at is not None:
        found = write.look(step)
        if found is not None:
            return Performed(_finish(message, step, found, clock()))
    hold(message, clock())
    _renew_key_if_spent(message, step, clock())
    OutboxStep.objects.filter(pk=step.pk, first_sent_at__isnull=True).update(first_sent_at=clock())
    reach(FailPoint.DELIVERY_STEP_RECORDED)
    reply = _send(message, write, step)
    reach(FailPoint.DELIVERY_STEP_SENT)
    return Performed(_finish(message, step, str(write.id_of(reply)), clock()), reply)


def _step(message: OutboxMessage, write: Write) -> OutboxStep:
    first = {"operation": write.expectation.operation, "first_sent_at": lambda: lost_try(message)}
    step, _created = OutboxStep.objects.get_or_create(message=message, position=write.position, defaults=first)
    return step


def _send(message: OutboxMessage, write: Write, step: OutboxStep) -> object:
    try:
        return call_stripe(
            write.request, expectation=write.expectation, idempotency_key=step.idempotency_key, message=message
        )
    except (StripeUnavailable, StripeRefused) as failure:
        # A refusal is kept under the key like a server error; a 409 or 429 is not.
        if isinstance(failure, StripeRefused) or (failure.http_status or 0) >= 500:
            OutboxStep.objects.filter(pk=step.pk, done_at__isnull=True).update(answered_with_error=True)
        raise


def _renew_key_if_spent(message: OutboxMessage, step: OutboxStep, now: datetime) -> None:
    """Take a new key when the old one would replay an error or is forgotten; the look proved that nothing exists."""
    if step.first_sent_at is None or (not step.answered_with_error and now - step.first_sent_at < KEY_LIFETIME):
        return
    step.idempotency_key, step.key_version = uuid.uuid4(), step.key_version + 1
    step.answered_with_error, step.first_sent_at = False, now
    with transaction.atomic():
        step.save(update_fields=["idempotency_key", "key_version", "answered_with_error", "first_sent_at"])
        payload: dict[str, PayloadValue] = {
            "message": str(message.pk),
            "operation": step.operation,
            "version": step.key_version,
        }
        fact = Fact(office_stream(message.office.reference), "outbox.key_renewed", payload)
        record(fact, actor="system:delivery", now=now)


def _finish(message: OutboxMessage, step: OutboxStep, object_id: str, now: datetime) -> str:
    hold(message, now)
    column = "customer_id" if object_id.startswith("cus_") else "stripe_object_id"
    with transaction.atomic():
        undone = OutboxStep.objects.filter(pk=step.pk, done_at__isnull=True)
        if undone.update(**{column: object_id, "done_at": now}):
            expect_news(step, object_id, now=now)
    reach(FailPoint.DELIVERY_STEP_DONE)
    return object_id
