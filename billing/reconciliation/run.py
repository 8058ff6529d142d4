"""Compare our books with Stripe's, both ways, and with who was active: one run, from checkpoint to checkpoint.

Bounded calls: a page for each hundred objects, and one look at each invoice that is repaired. A run that is killed or
finds Stripe away goes on where it stopped.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from billing.models import Discrepancy, DiscrepancyStatus, Invoice, ReconciliationPhase, ReconciliationRun
from billing.reconciliation import books, ledger, scope
from billing.reconciliation.checkpoint import RunOvertaken, advance, finish, stand_still, start_or_resume
from billing.reconciliation.compare import compare
from billing.reconciliation.customers import customer_findings, list_customers
from billing.reconciliation.found import Found, left_standing
from billing.reconciliation.listing import list_page
from billing.reconciliation.reading import read_chunk
from billing.reconciliation.repair import Repaired, pull_all
from billing.reconciliation.unmatched import orphan_items, unmatched_invoices
from billing.stripe_gateway.replies import StripeRefused, StripeReplyUnusable, StripeUnavailable

Clock = Callable[[], datetime]
Progress = Callable[[int, int], None]
Phase = ReconciliationPhase

CHUNK = 500  # invoices compared in one transaction: a dozen queries each
# What is listed, in this order; customers are asked for apart, since their ids are no checkpoint.
_LISTS = (Phase.INVOICES, Phase.REFUNDS, Phase.DISPUTES, Phase.CREDIT_NOTES, Phase.CUSTOMERS, Phase.ITEMS)
# The part of the comparison that goes through our invoices has begun.
_OUR_INVOICES = "-"


class TimeIsUp(Exception):
    """The run has worked for as long as it may; it goes on from its checkpoint."""


@dataclass(slots=True)
class Summary:
    """What a run found and did; `open` are the discrepancies of its scope that wait for somebody now."""

    run: ReconciliationRun
    kinds: Counter[str] = field(default_factory=Counter)
    proposals: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    gone: int = 0
    open: int = 0
    repaired: Repaired = field(default_factory=Repaired)
    # Why it is not complete: one of `_STOPPED`, which are told to staff and by the command in words.
    stopped: str = ""


def reconcile(
    *,
    actor: str,
    clock: Clock,
    cycle_key: str = "",
    office_reference: str | None = None,
    recent: timedelta | None = None,
    repair: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Summary:
    """Compare a month, an office, what was closed lately, or all; with `repair` take what Stripe decided.

    With `dry_run` Stripe is read and what it showed is kept, but no discrepancy is opened or ended and nothing is
    repaired. Raises OfficeNotFound.
    """
    run = start_or_resume(
        actor=actor,
        cycle_key=cycle_key,
        office_reference=office_reference,
        recent=recent,
        dry_run=dry_run,
        now=clock(),
    )
    return work_on(run, actor=actor, clock=clock, repair=repair, progress=progress)


def work_on(
    run: ReconciliationRun,
    *,
    actor: str,
    clock: Clock,
    repair: bool = False,
    until: datetime | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Summary:
    """Take a run that has begun to its end, or as far as it comes by `until`; then it waits at its checkpoint."""
    summary, found = Summary(run), Found(run, run.dry_run)
    try:
        _find(summary, found, actor, clock, _bounded(progress, clock, until))
        if repair and not run.dry_run:
            summary.repaired = pull_all(run, actor=actor, clock=clock)
    except tuple(_STOPPED) as error:
        summary.stopped = _STOPPED[type(error)]
    _sum_up(summary, found)
    if not summary.stopped:
        finish(run, found=sum(summary.kinds.values()), repaired=summary.repaired.ended, now=clock())
    elif summary.stopped != OVERTAKEN:  # the other worker says how it stands
        stand_still(run, why=summary.stopped, now=clock())
    return summary


OVERTAKEN, PAUSED = "run_overtaken", "time_is_up"
_STOPPED: dict[type[Exception], str] = {
    StripeUnavailable: "stripe_unreachable",
    StripeReplyUnusable: "stripe_reply_unusable",
    StripeRefused: "stripe_refused",
    RunOvertaken: OVERTAKEN,
    TimeIsUp: PAUSED,
}


def _bounded(progress: Progress, clock: Clock, until: datetime | None) -> Progress:
    """Stop after the first step that ends at or after `until`: progress is told when a step has been committed."""

    def told(done: int, total: int) -> None:
        progress(done, total)
        if until is not None and clock() >= until:
            raise TimeIsUp("goes on from its checkpoint")

    return told


def _find(summary: Summary, found: Found, actor: str, clock: Clock, progress: Progress) -> None:
    _list(summary.run, clock, progress)
    _compare(summary.run, found, clock, progress)
    _check_books(summary.run, found, clock)
    summary.gone = found.end_the_others(actor=actor, now=clock())


def _list(run: ReconciliationRun, clock: Clock, progress: Progress) -> None:
    for phase, following in zip(_LISTS, (*_LISTS[1:], Phase.COMPARE), strict=True):
        while run.phase == phase:
            if phase == Phase.CUSTOMERS:
                list_customers(run, following=following, clock=clock)
            else:
                list_page(run, following=following, clock=clock)
            progress(min(run.invoices_seen, run.total), run.total)


def _compare(run: ReconciliationRun, found: Found, clock: Clock, progress: Progress) -> None:
    if run.phase == Phase.COMPARE and not run.cursor:
        with transaction.atomic():
            found.keep(unmatched_invoices(run), now=clock())
            if scope.is_whole(run):
                # Customers and loose items belong to no month.
                found.keep(customer_findings(run), now=clock())
                found.keep(orphan_items(run), now=clock())
            advance(run, phase=Phase.COMPARE, cursor=_OUR_INVOICES, now=clock())
    while run.phase == Phase.COMPARE:
        _compare_chunk(run, found, clock)
        progress(run.compared, run.total)


def _compare_chunk(run: ReconciliationRun, found: Found, clock: Clock) -> None:
    invoices = scope.invoices(run).select_related("cycle").defer("internal_note").order_by("pk")
    if run.cursor != _OUR_INVOICES:
        invoices = invoices.filter(pk__gt=UUID(run.cursor))
    with transaction.atomic():
        chunk: list[Invoice] = list(invoices[:CHUNK])
        for ours, theirs in read_chunk(run, chunk).pairs():
            found.keep(compare(ours, theirs), now=clock())
        if chunk:
            advance(run, phase=Phase.COMPARE, cursor=str(chunk[-1].pk), now=clock(), compared=len(chunk))
        else:
            advance(run, phase=Phase.BOOKS, cursor="", now=clock())


def _check_books(run: ReconciliationRun, found: Found, clock: Clock) -> None:
    """Ask the books after the comparison: what that has told of an invoice is not told a second time."""
    if run.phase != Phase.BOOKS:
        return
    with transaction.atomic():
        now = clock()
        found.keep(books.active_not_charged(run), now=now)
        found.keep(books.charged_never_active(run), now=now)
        found.keep((each for each in books.line_count(run) if not found.has_cycle_of(each)), now=now)
        for findings in (
            ledger.changed_lines,
            ledger.charges_without_invoice,
            ledger.lines_without_invoice,
            ledger.orphan_messages,
        ):
            found.keep((each for each in findings(run) if not found.has_told(each)), now=now)


def _sum_up(summary: Summary, found: Found) -> None:
    run = summary.run
    summary.opened = found.opened
    if summary.repaired.stripe_away:
        summary.stopped = "stripe_unreachable"
    if found.dry_run:
        summary.kinds, summary.proposals = found.kinds, found.repairs
        summary.open = sum(found.kinds.values()) + left_standing(run).count()
        return
    # From the rows, so that a resumed run tells what it found before it was killed too.
    of_run = Discrepancy.objects.filter(run=run)
    summary.kinds.update(dict(of_run.order_by().values_list("kind").annotate(number=Count("pk"))))
    summary.proposals.update(dict(of_run.order_by().values_list("repair").annotate(number=Count("pk"))))
    summary.open = scope.discrepancies(run).filter(status=DiscrepancyStatus.OPEN).count()
