"""The monthly run: close and open every cycle that is due, chunk by chunk (product.md, rules 4 to 6).

Each chunk is one transaction: killed at any point, the next run does the rest, and a second run finds nothing. An
office that fails is parked; the others are billed.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from billing.models import BillingRun, RunStatus
from billing.office_run import OfficeRun, Progress, RunSummary, offices_in_scope
from billing.run_chunk import bill_chunk, due_offices
from offices.timeline import PriceBook

# A run of 10,000 offices takes a minute: in its first seconds it needs no help.
SURELY_UNDER_WAY = timedelta(seconds=20)


def run_due(
    *,
    as_of: datetime,
    actor: str,
    now: datetime,
    office_reference: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    row: BillingRun | None = None,
) -> RunSummary:
    """Bring every office, or one, up to `as_of`; an instant that is already done changes nothing and says so.

    `as_of` only decides what is due; `now` is the wall clock of every row (decisions.md 10). With `dry_run` the same
    code runs in transactions that are rolled back. `row` is the run that was asked for. Raises OfficeNotFound for an
    unknown reference.
    """
    due = due_offices(as_of)
    if office_reference is not None:
        due = due.filter(reference=office_reference)
    in_scope = offices_in_scope(office_reference).count()
    run = _office_run(as_of=as_of, actor=actor, now=now, dry_run=dry_run, row=row)
    return run.go_over(due, in_scope=in_scope, progress=progress)


def preview_run(*, office_ids: Collection[UUID], actor: str, now: datetime) -> RunSummary:
    """Return what a run of these offices would do now: the same code runs and is rolled back."""
    due = due_offices(now).filter(pk__in=office_ids)
    run = _office_run(as_of=now, actor=actor, now=now, dry_run=True)
    return run.go_over(due, in_scope=len(office_ids), progress=lambda _done, _total: None)


def _office_run(
    *, as_of: datetime, actor: str, now: datetime, dry_run: bool, row: BillingRun | None = None
) -> OfficeRun:
    prices = PriceBook()
    return OfficeRun(
        lambda offices: bill_chunk(offices, as_of=as_of, actor=actor, now=now, prices=prices),
        as_of=as_of,
        actor=actor,
        now=now,
        dry_run=dry_run,
        row=row,
    )


def run_asked(*, now: datetime) -> RunSummary | None:
    """Begin the run that staff asked for; None when there is none, or another worker has begun it."""
    asked = BillingRun.objects.filter(status=RunStatus.ASKED).first()
    if asked is None:
        return None
    waiting = BillingRun.objects.filter(pk=asked.pk, status=RunStatus.ASKED)
    if not waiting.update(status=RunStatus.RUNNING, started_at=now):
        return None
    asked.refresh_from_db()
    return run_due(as_of=asked.as_of, actor=asked.actor, now=now, row=asked)


def resume_run(*, actor: str, now: datetime) -> RunSummary | None:
    """Go on with the newest run when it was cut off; None when there is nothing to resume.

    A run that is cut off stays without its end. One that is still at work looks the same: then this one helps it, as
    two beats would, each chunk being done once. The hourly run would do the same, but up to an hour later: so what is
    due by now is done, never what somebody asked for one office or for an instant to come.
    One that staff asked for and no worker has begun is begun here: its ring was lost.
    """
    if (begun := run_asked(now=now)) is not None:
        return begun
    newest = BillingRun.objects.order_by("-started_at").first()
    if newest is None or newest.finished_at is not None or newest.started_at > now - SURELY_UNDER_WAY:
        return None
    return run_due(as_of=now, actor=actor, now=now)
