"""The run's row as its checkpoint: where a run begins, how far it has come, where a killed one goes on."""

from datetime import datetime, timedelta

from django.db.models import Count, F, Min
from django.db.models.functions import Greatest

from billing.models import ReconciliationPhase, ReconciliationRun
from billing.reconciliation import scope
from billing.reconciliation.balance import as_text, balances
from offices.locking import OfficeNotFound
from offices.models import Office

# What an older run has listed is no longer what Stripe shows: it is given up and a new one begins.
RESUMED_WITHIN = timedelta(hours=6)
# Before anything was closed there is nothing to compare, but what is unknown to us may still be there.
_LOOK_BACK = timedelta(days=31)


class RunOvertaken(Exception):
    """Another worker has taken this run on from the same checkpoint; it finishes the work."""


def start_or_resume(
    *,
    actor: str,
    cycle_key: str,
    office_reference: str | None,
    recent: timedelta | None,
    dry_run: bool,
    now: datetime,
) -> ReconciliationRun:
    """Return the unfinished run of the same scope, or a new one. Raises OfficeNotFound."""
    same = {"cycle_key": cycle_key, "office": _office(office_reference), "dry_run": dry_run}
    unfinished = ReconciliationRun.objects.filter(
        **same,
        since__isnull=recent is None,
        finished_at__isnull=True,
        started_at__gt=now - RESUMED_WITHIN,
        started_at__lte=now,
    )
    since = None if recent is None else now - recent
    moments = {"started_at": now, "window_from": now, "window_until": now}
    return unfinished.order_by("-started_at").first() or _begin(
        ReconciliationRun(actor=actor, since=since, **same, **moments)
    )


def _office(reference: str | None) -> Office | None:
    office = Office.objects.filter(reference=reference).first() if reference is not None else None
    if office is None and reference is not None:
        raise OfficeNotFound("there is no office with this reference")
    return office


def _begin(run: ReconciliationRun) -> ReconciliationRun:
    """The window: from a little before the first invoice that is compared was closed, until a little after now."""
    ours = scope.invoices(run).aggregate(first=Min("closed_at"), total=Count("pk"))
    run.total = ours["total"]
    start = run.since or (ours["first"] if ours["first"] is not None else run.started_at - _LOOK_BACK)
    # Whole seconds, for Stripe knows no others.
    run.window_from = (start - scope.CLOCK_DIFFERENCE).replace(microsecond=0)
    run.window_until = (run.started_at + scope.CLOCK_DIFFERENCE).replace(microsecond=0)
    run.save(force_insert=True)
    return run


def advance(
    run: ReconciliationRun, *, phase: ReconciliationPhase, cursor: str, now: datetime, seen: int = 0, compared: int = 0
) -> None:
    """Move the checkpoint on, in the caller's transaction. Raises RunOvertaken when it is not where we left it."""
    standing = ReconciliationRun.objects.filter(pk=run.pk, phase=run.phase, cursor=run.cursor, finished_at__isnull=True)
    counted = {"invoices_seen": F("invoices_seen") + seen, "compared": F("compared") + compared}
    if not standing.update(phase=phase, cursor=cursor, advanced_at=now, stopped="", **counted):
        raise RunOvertaken("another worker goes on with this run")
    run.phase, run.cursor = phase, cursor
    run.invoices_seen += seen
    run.compared += compared


def stand_still(run: ReconciliationRun, *, why: str, now: datetime) -> None:
    """Write down why the run is not complete: for whoever watches it, and for the worker that goes on with it."""
    ReconciliationRun.objects.filter(pk=run.pk, finished_at__isnull=True).update(stopped=why, advanced_at=now)


def finish(run: ReconciliationRun, *, found: int, repaired: int, now: datetime) -> None:
    """Write down that the run is complete; with one of all offices the balances as they are now."""
    balances_now = as_text(balances()) if run.office_id is None and not run.dry_run else ""
    # A resumed run has counted only its own part.
    ReconciliationRun.objects.filter(pk=run.pk).update(
        phase=ReconciliationPhase.DONE,
        cursor="",
        stopped="",
        finished_at=now,
        found=Greatest(F("found"), found),
        repaired=repaired,
        balances=balances_now,
    )
    run.refresh_from_db()
