"""What an office will pay in the months to come, and what a change of its terms would do to that.

A change is tried with its own code in a transaction that is rolled back; what is compared is what the cycles would
freeze at their start (cycle_opening).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from django.db import transaction

from billing import cycles
from billing.cycles import CycleSpan
from billing.models import BillingCycle
from billing.pricing import PriceTerms, unit_price
from offices.models import LIVE_STATUSES, Office, OfficeStatus
from offices.timeline import PriceBook, Timeline, load_timelines
from patients.models import ActivityPeriod

MONTHS_AHEAD = 24  # long enough for a contract of a year that begins in half a year


@dataclass(frozen=True, slots=True)
class UpcomingMonth:
    """A cycle that has not begun: the day it starts, and what an account will cost in cents, None when not billed."""

    starts_on: date
    unit_price_cents: int | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does: the months whose price differs, before and after, and how many accounts are active now."""

    before: tuple[UpcomingMonth, ...]
    after: tuple[UpcomingMonth, ...]
    active_accounts: int

    @property
    def changed(self) -> list[tuple[UpcomingMonth, UpcomingMonth]]:
        """The months that differ, each as it was and as it will be."""
        return [pair for pair in zip(self.before, self.after, strict=True) if pair[0] != pair[1]]


def effect_of(change: Callable[[], object], office: Office, *, now: datetime) -> Effect:
    """Try the change and put it back. Raises what the change raises, and NoPriceVersion."""
    prices, spans = PriceBook(), _Ahead(office, now)
    with transaction.atomic():
        before = tuple(_months(spans, prices))
        change()
        after = tuple(_months(spans, prices))
        transaction.set_rollback(True)
    active = ActivityPeriod.objects.filter(office=office, deactivated_at__isnull=True).count()
    return Effect(before, after, active)


class _Ahead:
    """The cycles of an office that start after now, by the zone that holds then."""

    def __init__(self, office: Office, now: datetime) -> None:
        self.office, self._now = office, now
        newest = BillingCycle.objects.filter(office=office).order_by("-index")
        self._last = newest.values_list("index", "end_at").first()

    def spans(self, timeline: Timeline) -> Iterator[CycleSpan]:
        anchor = self.office.billing_cycle_anchor_date
        last = self._last
        if last is None:
            current = cycles.span_containing(anchor, self._now, timeline.zone_at)
            last = (current.index, current.end_at)
        following = cycles.spans_after(anchor, *last, timeline.zone_at)
        return islice((span for span in following if span.start_at > self._now), MONTHS_AHEAD)


def _months(ahead: _Ahead, prices: PriceBook) -> Iterator[UpcomingMonth]:
    timeline = load_timelines([ahead.office.pk])[ahead.office.pk]
    for span in ahead.spans(timeline):
        yield UpcomingMonth(span.start_date, _price(timeline, prices, span))


def _price(timeline: Timeline, prices: PriceBook, span: CycleSpan) -> int | None:
    status = timeline.status_at(span.start_at)
    if status not in LIVE_STATUSES:
        return None
    version = prices.version_on(timeline.plan_at(span.start_at), span.start_date)
    override = timeline.override_on(span.start_date)
    terms = PriceTerms(
        trialing=status == OfficeStatus.TRIALING,
        version_cents=version.unit_price_cents,
        override_cents=override.unit_price_cents if override else None,
    )
    return unit_price(terms)


def months_in_words(months: Sequence[UpcomingMonth]) -> str:
    """Say which months: the first and the last start, and how many."""
    first, last = months[0].starts_on, months[-1].starts_on
    if first == last:
        return f"the month that starts on {first}"
    return f"{len(months)} months, from the one that starts on {first} to the one that starts on {last}"
