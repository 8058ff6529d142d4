"""kill -9 at every fail point, then again from the start: one Stripe invoice, the right total, nothing lost.

The process that dies is a real one with connections of its own; the database and the stand-in outlive it.
"""

import sys
from collections import Counter

import pytest

from billing.billing_run import run_due
from billing.delivery_steps import LEASE
from billing.fail_points import FailPoint
from billing.models import (
    BillingCycle,
    Invoice,
    InvoiceStatus,
    OutboxMessage,
    ParkedOffice,
    Payment,
    PaymentStatus,
)
from billing.stripe_events import process_due
from tests.billing.scenes import CLOSED_AT, SharedClock, drain, due_office, ring
from tests.builders import ACTOR, utc
from tests.faults.workers import Workers
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db(transaction=True)

RUN_AT = utc("2026-04-20")  # a month late: two cycles to catch up
# How often each act reaches each seam; a test below proves that these are all. One office each: the run closes two
# months; the delivery makes a customer and an invoice of two items; the events are those of one paid invoice.
HITS = {
    "run": {
        FailPoint.RUN_CHUNK_LOCKED: 1,
        FailPoint.RUN_LINES_INSERTED: 2,
        FailPoint.RUN_INVOICES_CLOSED: 2,
        FailPoint.RUN_MESSAGES_QUEUED: 2,
        FailPoint.RUN_CHUNK_COMMITTED: 1,
    },
    "deliver": {
        FailPoint.DELIVERY_LEASED: 2,
        FailPoint.DELIVERY_STEP_RECORDED: 5,
        FailPoint.DELIVERY_STEP_SENT: 5,
        FailPoint.DELIVERY_STEP_DONE: 5,
        FailPoint.DELIVERY_MESSAGE_DONE: 2,
    },
    "events": {
        FailPoint.EVENTS_CLAIMED: 2,  # the second finds none and ends the drain
        FailPoint.EVENTS_FETCHED: 1,
        FailPoint.EVENTS_APPLIED: 1,
    },
}
EVERY_KILL = [
    (act, point, hit) for act, hits in HITS.items() for point, times in hits.items() for hit in range(1, times + 1)
]


@pytest.fixture
def workers(stripe):
    processes = Workers(stripe)
    yield processes
    processes.close()


class Scene:
    """One office on its way from due to paid, and how far it must have come in the end."""

    def __init__(self, stripe, workers, act: str) -> None:
        self.stripe, self.workers, self.act = stripe, workers, act
        self.months = 2 if act == "run" else 1
        self.clock = SharedClock(RUN_AT if act == "run" else CLOSED_AT, stripe)
        self.office = due_office()
        if act != "run":
            run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
        if act == "events":
            drain(self.clock)
            self.pay()

    def pay(self) -> None:
        for invoice in self.invoices():
            if self.stripe.get("invoice", invoice.stripe_invoice_id)["status"] == "open":
                self.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
        ours = {invoice.stripe_invoice_id for invoice in self.invoices()}
        events = [each for each in self.stripe.objects("event") if each["data"]["object"]["id"] in ours]
        ring(self.stripe, self.clock.at, events=events)

    def invoices(self):
        return list(Invoice.objects.filter(office=self.office, closed_at__isnull=False).order_by("created_at"))

    def start_again(self) -> None:
        """Do the act again from its beginning, as the next beat would once leases and pauses are over."""
        if self.act == "run":
            run_due(as_of=self.clock.at, actor=ACTOR, now=self.clock.at)
        elif self.act == "deliver":
            self.clock.forward(minutes=6)
            drain(self.clock)
        else:
            self.clock.forward(hours=7)
            process_due(clock=self.clock)

    def check(self) -> None:
        invoices = self.invoices()
        assert [invoice.total_cents for invoice in invoices] == [400] * self.months
        assert {invoice.status for invoice in invoices} == {InvoiceStatus.PAID}
        held = [each for each in self.stripe.objects("invoice") if each["metadata"]["invoice_id"] in self.own_ids()]
        assert Counter(each["metadata"]["invoice_id"] for each in held) == Counter(self.own_ids())
        assert [(each["status"], each["total"]) for each in held] == [("paid", 400)] * self.months
        customers = [each["metadata"]["office_id"] for each in self.stripe.objects("customer")]
        assert customers.count(str(self.office.pk)) == 1
        payments = Payment.objects.filter(invoice__in=invoices)
        assert [payment.status for payment in payments] == [PaymentStatus.PAID] * self.months
        assert not OutboxMessage.objects.filter(office=self.office).exclude(status="done").exists()

    def own_ids(self) -> list[str]:
        return [str(invoice.pk) for invoice in self.invoices()]


def finish(scenes: list[Scene]) -> None:
    """Go on to the end: all is delivered, paid and heard of; then look."""
    clock = scenes[-1].clock
    clock.forward(hours=24)
    drain(clock)
    for scene in scenes:
        scene.clock = clock
        scene.pay()
    process_due(clock=clock)
    for scene in scenes:
        scene.check()
    assert_invariants(scenes[0].stripe)


def test_the_table_of_kills_names_every_fail_point():
    elsewhere = {point for point in FailPoint if point.startswith("correction.")}  # test_correction_kills.py
    assert {point for hits in HITS.values() for point in hits} == set(FailPoint) - elsewhere


@pytest.mark.parametrize("act", HITS)
def test_an_undisturbed_worker_reaches_each_seam_as_often_as_the_table_of_kills_says(stripe, workers, act):
    scene = Scene(stripe, workers, act)

    answer = workers.work(act, scene.clock.at)

    assert (answer["killed_by"], answer["code"]) == (0, 0)
    assert Counter(answer["reached"]) == HITS[act]


@pytest.mark.parametrize("act", HITS)
def test_a_kill_at_any_seam_loses_nothing_and_doubles_nothing(stripe, workers, act, capsys):
    kills = [(point, hit) for each, point, hit in EVERY_KILL if each == act]
    scenes = []
    for point, hit in kills:
        scene = Scene(stripe, workers, act)
        workers.kill(act, scene.clock.at, point, hit)
        scene.start_again()
        scenes.append(scene)
    finish(scenes)
    with capsys.disabled():
        sys.stdout.write(f" [{len(kills)} kills at {len(HITS[act])} fail points of {act}] ")


TWICE = [
    (FailPoint.DELIVERY_LEASED, FailPoint.DELIVERY_LEASED),
    (FailPoint.DELIVERY_STEP_RECORDED, FailPoint.DELIVERY_STEP_RECORDED),
    (FailPoint.DELIVERY_STEP_SENT, FailPoint.DELIVERY_STEP_SENT),
    (FailPoint.DELIVERY_STEP_SENT, FailPoint.DELIVERY_STEP_RECORDED),
    (FailPoint.DELIVERY_STEP_SENT, FailPoint.DELIVERY_STEP_DONE),
    (FailPoint.DELIVERY_STEP_DONE, FailPoint.DELIVERY_MESSAGE_DONE),
]


def test_a_second_kill_after_the_restart_changes_nothing(stripe, workers):
    scenes = []
    for first, second in TWICE:
        scene = Scene(stripe, workers, "deliver")
        workers.kill("deliver", scene.clock.at, first, hit=2)
        workers.kill("deliver", scene.clock.forward(minutes=6), second)
        scene.start_again()
        scenes.append(scene)
    finish(scenes)


def test_a_kill_after_each_write_in_turn_still_makes_every_write_once(stripe, workers):
    """The worker never comes further than one answer of Stripe, five times in a row."""
    scene = Scene(stripe, workers, "deliver")
    for _ in range(HITS["deliver"][FailPoint.DELIVERY_STEP_SENT]):
        workers.kill("deliver", scene.clock.at, FailPoint.DELIVERY_STEP_SENT)
        scene.clock.forward(minutes=6)
    assert stripe.writes() == 5
    finish([scene])


def test_a_killed_worker_keeps_its_message_only_until_its_lease_ends(stripe, workers):
    scene = Scene(stripe, workers, "deliver")
    workers.kill("deliver", scene.clock.at, FailPoint.DELIVERY_LEASED)

    workers.work("deliver", scene.clock.forward(seconds=LEASE.total_seconds() - 1))
    assert stripe.writes() == 0
    workers.work("deliver", scene.clock.forward(seconds=2))

    assert stripe.writes() == 5


def test_a_killed_run_leaves_no_half_of_a_chunk(stripe, workers):
    scene = Scene(stripe, workers, "run")
    before = BillingCycle.objects.count()
    for point in list(HITS["run"])[:-1]:
        workers.kill("run", scene.clock.at, point)
        assert BillingCycle.objects.count() == before
        assert not Invoice.objects.filter(closed_at__isnull=False).exists()
    assert_invariants(stripe)


@pytest.mark.postgresql
@pytest.mark.parametrize("act", HITS)
def test_a_connection_lost_at_any_commit_parks_nobody_and_loses_nothing(stripe, workers, act):
    """The change is made, the answer is lost: by then Django has a new connection, and nothing looks amiss."""
    scene = Scene(stripe, workers, act)
    for commit in range(1, 15):
        workers.order(act, scene.clock.at, plan={"kind": "commit", "side": "lost", "hit": commit}, quiet=True)
        answer = workers.answer()
        assert answer.get("error", "OperationalError").startswith("OperationalError"), answer
        scene.clock.forward(minutes=1)
    assert not ParkedOffice.objects.exists()
    scene.start_again()
    finish([scene])
