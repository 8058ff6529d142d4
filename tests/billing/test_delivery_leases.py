"""A message belongs to one worker at a time, and to nobody for long."""

from datetime import timedelta

import pytest

from billing import delivery, fail_points
from billing.delivery import deliver_due
from billing.delivery_steps import LEASE, LeaseLost, lease_next
from billing.fail_points import FailPoint
from billing.models import Invoice, InvoiceStatus, MessageStatus, OutboxMessage, OutboxStep
from sandbox.stripe_standin import Fault
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture(autouse=True)
def no_hook_left():
    yield
    fail_points.install(None)


def test_an_expired_lease_is_taken_over_and_the_old_worker_writes_nothing_more(stripe, clock):
    """The old worker stops right after Stripe's answer; meanwhile another one does it all; then the old one goes on."""
    invoice = close_month()
    deliver_due(clock=clock, limit=1)
    taken_over = []

    def stall(point: FailPoint) -> None:
        if point == FailPoint.DELIVERY_STEP_SENT and not taken_over:
            fail_points.install(None)
            clock.forward(seconds=LEASE.total_seconds() + 1)
            taken_over.append(deliver_due(clock=clock))
            taken_over.append(books())

    def books():
        rows = OutboxMessage.objects.values_list(), OutboxStep.objects.values_list(), Invoice.objects.values_list()
        return [sorted(map(repr, table)) for table in rows]

    fail_points.install(stall)
    summary = deliver_due(clock=clock)

    assert taken_over[0].counts["invoices_delivered"] == 1
    assert summary.counts == {"taken": 1, "lease_lost": 1}
    assert books() == taken_over[1]
    assert len(stripe.objects("invoice")) == 1
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    assert_invariants(stripe)


def test_a_worker_whose_lease_is_lost_renews_no_key(stripe, clock):
    """It looked, found nothing, and slept; the key it would renew may be the other worker's by now."""
    close_month()
    message = lease_next(clock())
    step = OutboxStep.objects.create(
        message=message, position=0, operation="create_customer", first_sent_at=clock(), answered_with_error=True
    )
    OutboxMessage.objects.filter(pk=message.pk).update(lease_token="12345678-1234-4234-8234-123456789012")

    with pytest.raises(LeaseLost):
        delivery._take(message, clock)

    assert stripe.writes() == 0
    assert OutboxStep.objects.get(pk=step.pk).key_version == 1


def test_an_old_workers_failure_does_not_open_again_what_another_worker_finished(stripe, clock):
    close_month()
    deliver_due(clock=clock, limit=1)

    def stall(point: FailPoint) -> None:
        if point == FailPoint.DELIVERY_STEP_RECORDED:
            fail_points.install(None)
            clock.forward(seconds=LEASE.total_seconds() + 1)
            deliver_due(clock=clock)
            stripe.script("POST /v1/invoices", [Fault.UNAVAILABLE])

    fail_points.install(stall)
    summary = deliver_due(clock=clock)

    assert summary.counts["retry_later"] == 1
    assert not OutboxMessage.objects.exclude(status=MessageStatus.DONE).exists()
    assert_invariants(stripe)


def test_a_living_lease_is_nobody_elses(stripe, clock):
    close_month()
    message = lease_next(clock())
    clock.forward(seconds=LEASE.total_seconds() - 1)

    assert lease_next(clock()) is None
    clock.forward(seconds=2)
    again = lease_next(clock())

    assert again.pk == message.pk
    assert again.lease_token != message.lease_token
    assert again.attempts == 2


def test_back_off_doubles_to_an_hour_and_is_written_before_the_try(stripe, clock):
    close_month()
    pauses = []
    for _ in range(14):
        message = lease_next(clock())
        stored = OutboxMessage.objects.get(pk=message.pk).next_attempt_at
        pauses.append((stored - clock()).total_seconds())
        clock.forward(seconds=max(LEASE.total_seconds(), pauses[-1]) + 1)

    for attempt, pause in enumerate(pauses):
        shortest = min(5 * 2**attempt, timedelta(hours=1).total_seconds())
        assert shortest <= pause <= shortest * 1.25
