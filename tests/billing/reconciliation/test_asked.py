"""What staff ask for begins at once as a row, goes on wherever it was left, and tells how far it is."""

from datetime import timedelta

import pytest

from audit.models import AuditEntry
from billing.models import DiscrepancyKind as Kind
from billing.models import ReconciliationRun
from billing.reconciliation.asked import LEFT_AFTER, ComparisonEnded, ask_for_comparison, go_on, go_on_with
from billing.reconciliation.checkpoint import RESUMED_WITHIN
from billing.wake_up import Bell, hang
from offices.locking import OfficeNotFound
from sandbox.stripe_standin import Fault
from tests.billing.reconciliation.scene import found

STAFF = "staff:ann"


def ask(scene, **scope) -> ReconciliationRun:
    scope = {"cycle_key": "", "office_reference": None} | scope
    return ask_for_comparison(actor=STAFF, now=scene.clock(), **scope)


def step(scene) -> ReconciliationRun:
    """Let a worker take one step: its time is up at once."""
    go_on(clock=scene.clock, until=scene.clock())
    return ReconciliationRun.objects.get()


def test_what_is_asked_for_begins_as_a_row_and_calls_nobody(scene):
    scene.stripe.forget_requests()
    run = ask(scene, cycle_key="2026-02")
    assert (run.actor, run.cycle_key, run.finished_at) == (STAFF, "2026-02", None)
    assert run.total == len(scene.offices)
    assert scene.stripe.counts() == {}
    assert AuditEntry.objects.filter(action="reconciliation.asked", actor=STAFF).count() == 1


def test_a_worker_takes_it_to_its_end_step_by_step_and_each_is_told(scene):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    ask(scene)
    seen = []
    for _ in range(20):
        run = step(scene)
        if run.finished_at:
            break
        assert (run.stopped, run.advanced_at) == ("time_is_up", scene.clock())
        seen.append((run.phase, run.invoices_seen, run.compared))
    assert (run.phase, run.stopped, run.compared) == ("done", "", run.total)
    assert len(set(seen)) == len(seen) > 5
    assert [kind for kind, _subject in found()] == [Kind.PAID_THERE]
    assert run.found == 1


def test_asking_twice_leads_to_the_run_that_is_under_way(scene):
    first = ask(scene, cycle_key="2026-02")
    assert ask(scene, cycle_key="2026-02") == first
    assert ask(scene) != first


def test_a_run_that_beat_left_is_taken_on_by_whoever_asks_for_the_same(scene):
    scene.stripe.script("GET /v1/invoices", [Fault.UNAVAILABLE])
    left = scene.reconcile().run
    scene.later(seconds=LEFT_AFTER.total_seconds() + 1)
    assert go_on(clock=scene.clock, until=scene.clock()) == 0
    assert ask(scene) == left
    assert go_on(clock=scene.clock, until=scene.clock()) == 1


def test_an_unknown_office_is_told(scene):
    with pytest.raises(OfficeNotFound):
        ask(scene, office_reference="nobody")


def test_while_stripe_is_away_it_waits_a_while_before_it_is_taken_up_again(scene):
    scene.stripe.script("GET /v1/invoices", [Fault.UNAVAILABLE])
    ask(scene)
    assert step(scene).stopped == "stripe_unreachable"
    scene.stripe.forget_requests()
    assert step(scene).phase == "invoices"
    assert scene.stripe.counts() == {}
    scene.later(seconds=LEFT_AFTER.total_seconds() + 1)
    assert step(scene).phase != "invoices"


def test_a_worker_leaves_alone_what_another_has_in_hand_and_what_nobody_asked_for(scene):
    ask(scene)
    ReconciliationRun.objects.update(advanced_at=scene.clock())
    assert go_on(clock=scene.clock, until=scene.clock()) == 0
    ReconciliationRun.objects.update(advanced_at=None, actor="system:beat")
    assert go_on(clock=scene.clock, until=scene.clock()) == 0


def test_without_a_worker_whoever_watches_lets_it_go_on(scene):
    run = ask(scene)
    assert go_on_with(run_id=run.pk, actor=STAFF, clock=scene.clock).stopped == ""
    with pytest.raises(ComparisonEnded):
        go_on_with(run_id=run.pk, actor=STAFF, clock=scene.clock)


def test_what_is_too_old_is_begun_anew(scene):
    run = ask(scene)
    scene.later(seconds=(RESUMED_WITHIN + timedelta(minutes=1)).total_seconds())
    with pytest.raises(ComparisonEnded):
        go_on_with(run_id=run.pk, actor=STAFF, clock=scene.clock)
    assert go_on(clock=scene.clock, until=scene.clock()) == 0
    assert ask(scene) != run


def test_the_doorbell_rings_after_the_commit(scene, django_capture_on_commit_callbacks, monkeypatch):
    rung = []
    monkeypatch.setattr("billing.wake_up._bells", {})
    hang(Bell.COMPARISONS, lambda: rung.append(1))
    with django_capture_on_commit_callbacks(execute=True):
        ask(scene)
        assert rung == []
    assert rung == [1]
