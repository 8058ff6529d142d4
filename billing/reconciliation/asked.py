"""Comparisons that staff ask for in the console: begun at once as a row, worked through by a worker, watched meanwhile.

Without a worker nothing goes on by itself; whoever watches lets it go on for some seconds at a time.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.chain import Fact, record
from billing.models import ReconciliationRun
from billing.reconciliation.checkpoint import RESUMED_WITHIN, start_or_resume
from billing.reconciliation.repair import ONE_REQUEST
from billing.reconciliation.run import PAUSED, Summary, work_on
from billing.reconciliation.staff import STREAM
from billing.wake_up import Bell, ring_after_commit

Clock = Callable[[], datetime]

STAFF = "staff:"
# Longer than any step between two checkpoints takes: whoever had the run in hand is gone.
LEFT_AFTER = timedelta(minutes=5)


class ComparisonEnded(Exception):
    """It is complete, or too old to go on with: what Stripe showed then is no longer what it shows."""


@transaction.atomic
def ask_for_comparison(*, cycle_key: str, office_reference: str | None, actor: str, now: datetime) -> ReconciliationRun:
    """Begin a comparison of a month (empty: all), of an office or all; one that is under way is returned.

    Raises OfficeNotFound.
    """
    run = start_or_resume(
        actor=actor, cycle_key=cycle_key, office_reference=office_reference, recent=None, dry_run=False, now=now
    )
    # One that beat began and nobody finished is theirs from now on, or no worker would take it up.
    ReconciliationRun.objects.filter(pk=run.pk).exclude(actor__startswith=STAFF).update(actor=actor)
    about = {"run": str(run.pk), "cycle": cycle_key, "office": office_reference or ""}
    record(Fact(STREAM, "reconciliation.asked", about), actor=actor, now=now)
    ring_after_commit(Bell.COMPARISONS)
    return run


def under_way(now: datetime) -> QuerySet[ReconciliationRun]:
    """Return the runs that are not complete and can still go on."""
    return ReconciliationRun.objects.filter(
        finished_at__isnull=True, dry_run=False, started_at__gt=now - RESUMED_WITHIN, started_at__lte=now
    )


def go_on(*, clock: Clock, until: datetime) -> int:
    """Go on with what staff asked for and nobody has in hand, oldest first; return how many there were."""
    now = clock()
    left = Q(advanced_at__isnull=True) | Q(stopped=PAUSED) | Q(advanced_at__lt=now - LEFT_AFTER)
    waiting = list(under_way(now).filter(left, actor__startswith=STAFF).order_by("started_at"))
    for run in waiting:
        work_on(run, actor=run.actor, clock=clock, until=until)
    return len(waiting)


def go_on_with(*, run_id: UUID, actor: str, clock: Clock) -> Summary:
    """Go on with one run for as long as a request may take. Raises ComparisonEnded."""
    now = clock()
    run = under_way(now).filter(pk=run_id).first()
    if run is None:
        raise ComparisonEnded("this comparison cannot go on: begin a new one")
    return work_on(run, actor=actor, clock=clock, until=now + ONE_REQUEST)
