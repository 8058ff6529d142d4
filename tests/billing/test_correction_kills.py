"""kill -9 at every seam of a correction, then again from the start: one void, one credit note, one replacement."""

import sys
from collections import Counter

import pytest

from billing.fail_points import FailPoint
from billing.models import Correction, CorrectionKind, CorrectionStatus, CreditNote, Invoice, OutboxMessage, Refund
from tests.billing.correction_scenes import agreed, paid_back, wish
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, drain, hear
from tests.faults.workers import Workers
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db(transaction=True)

K = CorrectionKind
# How often each seam is reached; a test below proves that these are all.
HITS = {
    # Fetch, void, fetch, end with the replacement; then the replacement is sent: a draft, one item, finalize.
    K.REPLACE: {
        FailPoint.DELIVERY_LEASED: 2,
        FailPoint.EVENTS_FETCHED: 2,
        FailPoint.DELIVERY_STEP_RECORDED: 4,
        FailPoint.DELIVERY_STEP_SENT: 4,
        FailPoint.DELIVERY_STEP_DONE: 4,
        FailPoint.CORRECTION_APPLIED: 1,
        FailPoint.CORRECTION_LINES_COPIED: 1,
        FailPoint.RUN_INVOICES_CLOSED: 1,
        FailPoint.RUN_MESSAGES_QUEUED: 1,
        FailPoint.CORRECTION_ENDED: 1,
        FailPoint.DELIVERY_MESSAGE_DONE: 2,
    },
    # Fetch, credit note with its refund, fetch, end.
    K.CREDIT: {
        FailPoint.DELIVERY_LEASED: 1,
        FailPoint.EVENTS_FETCHED: 2,
        FailPoint.DELIVERY_STEP_RECORDED: 1,
        FailPoint.DELIVERY_STEP_SENT: 1,
        FailPoint.DELIVERY_STEP_DONE: 1,
        FailPoint.CORRECTION_APPLIED: 1,
        FailPoint.CORRECTION_ENDED: 1,
        FailPoint.DELIVERY_MESSAGE_DONE: 1,
    },
}
KILLS = {
    kind: [(point, hit) for point, times in hits.items() for hit in range(1, times + 1)] for kind, hits in HITS.items()
}


@pytest.fixture
def workers(stripe):
    processes = Workers(stripe)
    yield processes
    processes.close()


class Scene:
    """An invoice with an approved correction that waits to be carried out."""

    def __init__(self, stripe, kind: CorrectionKind) -> None:
        self.stripe, self.kind, self.clock = stripe, kind, SharedClock(CLOSED_AT, stripe)
        self.invoice, self.stripe_id = delivered(stripe, self.clock)
        if kind == K.CREDIT:
            stripe.dashboard.pay_invoice(self.stripe_id)
            hear(stripe, self.clock)
        what = paid_back(amount=150)
        if kind == K.REPLACE:
            what = wish(K.REPLACE, dropped=frozenset({self.invoice.line_items.first().pk}))
        self.correction = agreed(self.invoice, what, now=self.clock.at)

    def check(self) -> None:
        correction = Correction.objects.get(pk=self.correction.pk)
        assert (correction.status, correction.outcome) == (CorrectionStatus.DONE, "")
        held = [each for each in self.stripe.objects("invoice") if each["customer"] == self.customer]
        notes = [each for each in self.stripe.objects("credit_note") if each["invoice"] == self.stripe_id]
        if self.kind == K.REPLACE:
            (second,) = Invoice.objects.filter(replaces=self.invoice)
            assert [(each["id"], each["status"], each["total"]) for each in held] == [
                (self.stripe_id, "void", 400),
                (second.stripe_invoice_id, "open", 200),
            ]
            assert notes == []
        else:
            assert [each["amount"] for each in notes] == [150]
            assert CreditNote.objects.get(invoice=self.invoice).pk == correction.pk
            assert [refund.amount_cents for refund in Refund.objects.filter(invoice=self.invoice)] == [150]
        assert not OutboxMessage.objects.filter(office=self.invoice.office).exclude(status="done").exists()

    @property
    def customer(self) -> str:
        return self.stripe.get("invoice", self.stripe_id)["customer"]


def test_the_table_names_every_seam_of_a_correction():
    named = {point for hits in HITS.values() for point in hits}
    assert named >= {point for point in FailPoint if point.startswith("correction.")}


@pytest.mark.parametrize("kind", HITS)
def test_an_undisturbed_worker_reaches_each_seam_as_often_as_the_table_says(stripe, workers, kind):
    scene = Scene(stripe, kind)
    answer = workers.work("deliver", scene.clock.at)
    assert (answer["killed_by"], answer["code"]) == (0, 0)
    assert Counter(answer["reached"]) == HITS[kind]


@pytest.mark.parametrize("kind", HITS)
def test_a_kill_at_any_seam_of_a_correction_doubles_and_loses_nothing(stripe, workers, kind, capsys):
    scenes = []
    for point, hit in KILLS[kind]:
        scene = Scene(stripe, kind)
        workers.kill("deliver", scene.clock.at, point, hit)
        scene.clock.forward(minutes=6)
        drain(scene.clock)
        scenes.append(scene)
    hear(stripe, scenes[-1].clock)
    for scene in scenes:
        scene.check()
    assert_invariants(stripe)
    with capsys.disabled():
        sys.stdout.write(f" [{len(KILLS[kind])} kills at {len(HITS[kind])} fail points of a {kind}] ")


def test_kill_after_kill_at_the_write_makes_one_credit_note(stripe, workers):
    scene = Scene(stripe, K.CREDIT)
    for _ in range(3):
        workers.kill("deliver", scene.clock.at, FailPoint.DELIVERY_STEP_RECORDED)
        scene.clock.forward(minutes=6)
    workers.kill("deliver", scene.clock.at, FailPoint.DELIVERY_STEP_SENT)
    scene.clock.forward(hours=25)
    stripe.dashboard.prune_idempotency_keys()
    drain(scene.clock)
    scene.check()
    assert_invariants(stripe)
