"""A run that staff start: asked for with a reason, begun once, and otherwise the run that comes by every hour."""

import json

import pytest
from django.db import IntegrityError

from audit.models import AuditEntry
from billing import wake_up
from billing.asked_run import RunWaits, start_run
from billing.billing_run import resume_run, run_asked, run_due
from billing.models import BillingRun, Invoice, RunStatus
from billing.parking import LONGEST_REASON, ReasonMissing
from billing.wake_up import Bell
from tests.billing.scenes import CLOSED_AT, due_office
from tests.builders import ACTOR

pytestmark = pytest.mark.django_db
STAFF = "staff:jo"


def start(reason="the month is being closed"):
    return start_run(reason=reason, actor=STAFF, now=CLOSED_AT)


def asked():
    """Return the runs that somebody asked for: offices open their first months in runs as well."""
    return BillingRun.objects.exclude(reason="")


@pytest.fixture
def worker(monkeypatch):
    """A worker that hears the bell and has not begun yet; what it heard."""
    heard = []
    monkeypatch.setattr(wake_up, "_bells", {Bell.RUNS: lambda: heard.append(Bell.RUNS)})
    return heard


def test_without_a_worker_the_run_has_ended_when_the_call_returns():
    office = due_office()
    run = start()
    run.refresh_from_db()
    assert (run.status, run.actor, run.reason) == (RunStatus.DONE, STAFF, "the month is being closed")
    assert (run.offices_due, run.offices_done, run.invoices_closed) == (1, 1, 1)
    assert Invoice.objects.get(office=office, closed_at__isnull=False).total_cents == 400
    assert run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT).tally.counts["invoices_closed"] == 0


def test_who_asked_is_on_record_and_the_words_are_not():
    due_office()
    run = start("asked by the clinic")
    entry = AuditEntry.objects.get(action="run.asked")
    assert (entry.actor, json.loads(entry.payload)) == (STAFF, {"run": str(run.pk), "offices_due": 1})
    assert not AuditEntry.objects.filter(payload__contains="clinic").exclude(action__startswith="office").exists()


def test_with_a_worker_the_row_waits_and_the_bell_rings(worker, django_capture_on_commit_callbacks):
    due_office()
    with django_capture_on_commit_callbacks(execute=True):
        run = start()
    assert worker == [Bell.RUNS]
    assert asked().get().status == RunStatus.ASKED
    assert not Invoice.objects.filter(closed_at__isnull=False).exists()
    run_asked(now=CLOSED_AT)
    run.refresh_from_db()
    assert (asked().get(), run.status, run.invoices_closed) == (run, RunStatus.DONE, 1)


def test_what_was_asked_for_is_begun_once(worker):
    due_office()
    start()
    assert run_asked(now=CLOSED_AT) is not None
    assert run_asked(now=CLOSED_AT) is None
    assert asked().count() == 1


def test_while_one_waits_no_other_is_asked_for(worker):
    start()
    with pytest.raises(RunWaits):
        start()
    assert asked().count() == AuditEntry.objects.filter(action="run.asked").count() == 1


def test_a_run_whose_ring_was_lost_is_begun_by_the_sweep(worker):
    due_office()
    run = start()
    assert resume_run(actor=ACTOR, now=CLOSED_AT) is not None
    run.refresh_from_db()
    assert (run.status, run.invoices_closed, run.actor) == (RunStatus.DONE, 1, STAFF)


@pytest.mark.parametrize("reason", ["", "  ", "x" * (LONGEST_REASON + 1)])
def test_without_a_fit_reason_nothing_starts(reason):
    with pytest.raises(ReasonMissing):
        start(reason)
    assert not BillingRun.objects.exists()


def test_the_database_keeps_no_asked_run_without_a_reason():
    with pytest.raises(IntegrityError):
        BillingRun.objects.create(as_of=CLOSED_AT, actor=STAFF, started_at=CLOSED_AT, status=RunStatus.ASKED)
