"""What happens around a billing test: a month that closes, time that passes for us and Stripe, events that arrive."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from billing.billing_run import run_due
from billing.delivery import deliver_due
from billing.models import Invoice, MessageStatus, OutboxMessage
from billing.stripe_events import process_due, receive
from billing.stripe_gateway.client import verify_webhook
from sandbox.stripe_standin import StripeStandIn, sign
from tests.builders import ACTOR, Clock, make_office, make_patient, utc

OPENED_AT, CLOSED_AT = utc("2026-03-01"), utc("2026-03-20")
TOTAL_CENTS = 400  # two patients of the standard plan


class SharedClock(Clock):
    """One clock for us and the stand-in: idempotency keys grow old by it."""

    def __init__(self, at: datetime, stripe: StripeStandIn) -> None:
        super().__init__(at)
        self._stripe = stripe
        stripe.dashboard.set_clock(at)

    def forward(self, **by: float) -> datetime:
        self._stripe.dashboard.set_clock(super().forward(**by))
        return self.at


def due_office(**fields: Any) -> Any:
    """Make an office whose open month has two patients: one carried over, one activated within it."""
    office = make_office(**fields)
    make_patient(office, (utc("2026-01-02"), None))
    make_patient(office, (utc("2026-02-20"), None))
    run_due(as_of=OPENED_AT, actor=ACTOR, now=OPENED_AT)
    return office


def close_month(**fields: Any) -> Invoice:
    """Make an office, let its month end, and return the closed invoice of 400 cents and two items."""
    office = due_office(**fields)
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    return Invoice.objects.get(office=office, closed_at__isnull=False)


def drain(clock: Clock, rounds: int = 200) -> None:
    """Deliver as the sweep would, turning the clock to whatever waits next, until nothing waits any more."""
    for _ in range(rounds):
        deliver_due(clock=clock)
        waiting = OutboxMessage.objects.filter(
            Q(status=MessageStatus.PENDING) | Q(status=MessageStatus.LEASED), office__parked_at__isnull=True
        )
        moments = [each.lease_expires_at or each.next_attempt_at for each in waiting]
        if not moments:
            return
        # What is due and still there waits for its customer, whose own message has a moment ahead.
        ahead = [moment for moment in moments if moment > clock.at]
        clock.forward(seconds=(min(ahead) - clock.at).total_seconds() + 1)
    raise AssertionError("the outbox does not drain")


def ring(stripe: StripeStandIn, now: datetime, *, events: Sequence[dict[str, Any]] | None = None) -> None:
    """Let events of the stand-in (all by default) arrive in the inbox, signed and verified as in the view."""
    for event in stripe.objects("event") if events is None else events:
        body, at = json.dumps(event).encode(), int(now.timestamp())
        secret = settings.STRIPE_WEBHOOK_SECRETS[0]
        receive(verify_webhook(body, sign(body, secret, at), settings.STRIPE_WEBHOOK_SECRETS, at), now=now)


def hear(stripe: StripeStandIn, clock: Clock) -> None:
    """Let every event arrive and be worked through until none waits (or all that wait are unknown to us)."""
    ring(stripe, clock.at)
    for _ in range(3):
        process_due(clock=clock)
        clock.forward(hours=7)  # longer than the longest pause between two tries


def delivered(stripe: StripeStandIn, clock: Clock, **fields: Any) -> tuple[Invoice, str]:
    """Close a month, deliver it, and return our invoice with its Stripe id."""
    invoice = close_month(**fields)
    drain(clock)
    invoice.refresh_from_db()
    return invoice, invoice.stripe_invoice_id


def at_once(calls: Sequence[Callable[[], Any]], connections: int = 32) -> list[Any]:
    """Make the calls from threads with connections of their own that start together; return results or exceptions."""
    results: list[Any] = [None] * len(calls)
    todo = iter(enumerate(calls))
    number = min(connections, len(calls))
    barrier, turn = threading.Barrier(number), threading.Lock()

    def next_call() -> tuple[int, Callable[[], Any]] | None:
        with turn:
            return next(todo, None)

    def work() -> None:
        try:
            connection.ensure_connection()
            barrier.wait(30)
            while (taken := next_call()) is not None:
                position, call = taken
                try:
                    results[position] = call()
                except Exception as error:  # noqa: BLE001 - the test judges what each call ended with
                    results[position] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a call does not come back"
    return results


@contextmanager
def held(lock: Callable[[], Any]) -> Iterator[None]:
    """Keep what `lock` locks in the open transaction of another connection."""
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                lock()
                holding.set()
                let_go.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(10)
        yield
    finally:
        let_go.set()
        thread.join(10)
