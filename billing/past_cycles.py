"""Which past cycles of an office does a backfill reconstruct? (decisions.md 11)

Only ended ones before the office's own first cycle: from that one on the run leaves no cycle out but those in which
the office was not live. Boundaries are counted from the anchor through all changes of zone, so that two backfills of
neighbouring months, and the office's own first cycle after them, touch to the instant.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from billing import cycles
from billing.cycles import CycleSpan
from billing.models import BillingCycle
from offices.models import Office
from offices.timeline import Timeline

TO_OPEN, NOT_ENDED, NOT_LIVE, LEFT_TO_THE_RUN = "to_open", "not_ended", "not_live", "left_to_the_run"
MONTH_LOCKED = "month_locked"


@dataclass(frozen=True, slots=True)
class PastSpan:
    """A cycle without a row, and what is to be done about it: one of the five words above."""

    span: CycleSpan
    verdict: str


def past_spans(
    office: Office,
    timeline: Timeline,
    known: Mapping[int, BillingCycle],
    first_index: int | None,
    *,
    months: tuple[str, str],
    locked: Collection[str],
    now: datetime,
) -> Iterator[PastSpan]:
    """Yield the cycles of [first, last] month (`YYYY-MM`, inclusive) that have no row, the oldest first.

    `known` are the office's cycles by index, `first_index` the first that is the run's own, `locked` the months that
    two people have signed.
    """
    for span in _chain(office, timeline, known, months):
        if span.index in known:
            continue
        if span.end_at > now:
            yield PastSpan(span, NOT_ENDED)
        elif timeline.first_live_in(span.start_at, span.end_at) is None:
            yield PastSpan(span, NOT_LIVE)
        elif span.key in locked:
            yield PastSpan(span, MONTH_LOCKED)
        else:
            mine = first_index is None or span.index < first_index
            yield PastSpan(span, TO_OPEN if mine else LEFT_TO_THE_RUN)


def _chain(
    office: Office, timeline: Timeline, known: Mapping[int, BillingCycle], months: tuple[str, str]
) -> Iterator[CycleSpan]:
    """Yield the spans of these months. Rows that are there have the last word on where their neighbours end."""
    anchor = office.billing_cycle_anchor_date
    first, last = (_index_of(anchor.year, anchor.month, month) for month in months)
    index = _start_of_chain(first, office, timeline) - 1
    zone = timeline.zones[0][1]
    end_at = cycles.first_instant(cycles.start_date(anchor, index + 1), zone)
    while index < last:
        row = known.get(index + 1)
        span = _stored(row) if row else next(cycles.spans_after(anchor, index, end_at, timeline.zone_at))
        after = known.get(index + 2)
        if row is None and after is not None:
            span = CycleSpan(span.index, span.start_date, span.end_date, span.start_at, after.start_at, span.zone)
        if span.index >= first:
            yield span
        index, end_at = span.index, span.end_at


def _index_of(year: int, month: int, key: str) -> int:
    wanted_year, wanted_month = (int(part) for part in key.split("-"))
    return (wanted_year - year) * cycles.MONTHS_PER_YEAR + wanted_month - month


def _start_of_chain(first: int, office: Office, timeline: Timeline) -> int:
    """Return a cycle that surely starts before the first change of zone: until then midnights tell all."""
    if len(timeline.zones) == 1:
        return first
    changed_at, _zone = timeline.zones[1]
    return min(first, cycles.index_on(office.billing_cycle_anchor_date, changed_at.date()) - 2)


def _stored(row: BillingCycle) -> CycleSpan:
    return CycleSpan(row.index, row.start_date, row.end_date, row.start_at, row.end_at, row.zone)
