"""Reconstruct past cycles and their invoices from activity periods (decisions.md 11).

The cycles get the terms that held at their start, the invoices are drafts that the run, activations and adjustments
leave alone until somebody closes them. What was billed already is compared with the activity, never changed. Chunk by
chunk like the run: killed at any point, the next call does the rest, and a second call changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Min, QuerySet

from billing.billed_usage import UsageDifference, usage_differences
from billing.cycle_opening import open_cycles
from billing.cycle_origin import backfilled, cycles_of_the_run
from billing.line_items import insert_missing_charges
from billing.models import BillingCycle, InvoiceOrigin, MonthClose
from billing.office_run import CHUNK_SIZE, OfficeRun, Progress, RunSummary, offices_in_scope
from billing.past_cycles import TO_OPEN, PastSpan, past_spans
from billing.run_chunk import Tally, close_cycles
from offices.models import Office
from offices.timeline import PriceBook, Timeline, load_timelines

Months = tuple[str, str]


class MonthsReversed(ValueError):
    """The first month lies after the last one."""


@dataclass(slots=True)
class BackfillSummary:
    """What a backfill did, and where what was billed before differs from the activity."""

    run: RunSummary
    differences: list[UsageDifference] = field(default_factory=list)


def backfill_invoices(
    *,
    months: Months,
    actor: str,
    now: datetime,
    office_reference: str | None = None,
    close: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> BackfillSummary:
    """Reconstruct the ended cycles that start in these months (`YYYY-MM`, both inclusive) as drafts.

    With `close` the drafts are frozen and queued for Stripe, within BILLING_RUN_CAP_CENTS. An office in doubt is told
    and left out, never parked: its present bills are not in doubt. Raises MonthsReversed, OfficeNotFound.
    """
    if months[0] > months[1]:
        raise MonthsReversed("the first month lies after the last one")
    work = _Backfill(months, actor=actor, now=now, close=close)
    run = OfficeRun(work.do, as_of=now, actor=actor, now=now, dry_run=dry_run, parks=False)
    scope = offices_in_scope(office_reference)
    cycles_at_once = max(CHUNK_SIZE // _number_of(months), 1)
    summary = run.go_over(scope, in_scope=scope.count(), progress=progress, chunk_size=cycles_at_once)
    return BackfillSummary(summary, work.differences())


def _number_of(months: Months) -> int:
    (first_year, first), (last_year, last) = (map(int, month.split("-")) for month in months)
    return (last_year - first_year) * 12 + last - first + 1


class _Backfill:
    """What is done to a chunk of offices whose locks are held."""

    def __init__(self, months: Months, *, actor: str, now: datetime, close: bool) -> None:
        self._months, self._actor, self._now, self._close = months, actor, now, close
        self._prices = PriceBook()
        signed = MonthClose.objects.filter(key__gte=months[0], key__lte=months[1], locked_at__isnull=False)
        self._locked = set(signed.values_list("key", flat=True))
        self._found: dict[UUID, list[UsageDifference]] = {}

    def do(self, offices: Sequence[Office]) -> Tally:
        """Open what is missing, charge it, close it if asked; compare what was billed before."""
        billed = self._cycles(offices).filter(closed_at__isnull=False)
        differences = usage_differences(list(billed.select_related("office")))
        self._note(offices, differences)
        tally = self._open(offices)
        drafts = list(self._cycles(offices).filter(backfilled(), closed_at__isnull=True).exclude(key__in=self._locked))
        tally.counts["cycles_there_already"] += billed.count()
        tally.counts["lines_added"] += insert_missing_charges(drafts, now=self._now)
        if self._close:
            closed = close_cycles(drafts, actor=self._actor, now=self._now, with_adjustments=False)
            closed.grown.clear()  # several months of one office at once: nothing to compare a growth with
            tally.add(closed)
        return tally

    def differences(self) -> list[UsageDifference]:
        """Return what was found, each office once however often its chunk was tried."""
        found = [each for differences in self._found.values() for each in differences]
        return sorted(found, key=lambda each: (each.cycle.office.reference, each.cycle.key, each.code))

    def _note(self, offices: Sequence[Office], differences: Sequence[UsageDifference]) -> None:
        by_office: dict[UUID, list[UsageDifference]] = defaultdict(list)
        for each in differences:
            by_office[each.cycle.office_id].append(each)
        self._found |= {office.pk: by_office[office.pk] for office in offices if by_office[office.pk]}

    def _cycles(self, offices: Sequence[Office]) -> QuerySet[BillingCycle]:
        first, last = self._months
        return BillingCycle.objects.filter(
            office__among=[office.pk for office in offices], key__gte=first, key__lte=last
        )

    def _open(self, offices: Sequence[Office]) -> Tally:
        timelines = load_timelines(office.pk for office in offices)
        spans = self._spans(offices, timelines)
        opened = open_cycles(
            [(office, past.span) for office, past in spans if past.verdict == TO_OPEN],
            timelines,
            self._prices,
            as_of=self._now,
            actor=self._actor,
            now=self._now,
            origin=InvoiceOrigin.BACKFILL,
        )
        counts = Counter(past.verdict for _office, past in spans if past.verdict != TO_OPEN)
        return Tally(counts=counts + Counter(cycles_opened=len(opened)))

    def _spans(self, offices: Sequence[Office], timelines: Mapping[UUID, Timeline]) -> list[tuple[Office, PastSpan]]:
        ids = [office.pk for office in offices]
        known: dict[UUID, dict[int, BillingCycle]] = defaultdict(dict)
        for cycle in BillingCycle.objects.filter(office__among=ids):
            known[cycle.office_id][cycle.index] = cycle
        own = cycles_of_the_run().filter(office__among=ids).order_by()
        first = dict(own.values_list("office").annotate(first=Min("index")))
        return [
            (office, past)
            for office in offices
            for past in past_spans(
                office,
                timelines[office.pk],
                known[office.pk],
                first.get(office.pk),
                months=self._months,
                locked=self._locked,
                now=self._now,
            )
        ]
