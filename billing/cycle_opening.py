"""Open the cycles an office should have by now, each with its terms frozen and a draft invoice to fill.

Used by activation (one office) and by the monthly run (a chunk of offices): the same code, set-based.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import OuterRef, Subquery

from audit.bulk_rows import insert_all
from audit.chain import Fact, record_many
from audit.seal import PayloadValue
from billing import cycles
from billing.cycles import CycleSpan
from billing.models import BillingCycle, Invoice, InvoiceType
from billing.pricing import PriceTerms, unit_price
from offices.audit_stream import office_stream
from offices.models import LIVE_STATUSES, Office, OfficeStatus
from offices.timeline import PriceBook, Timeline, load_timelines

_NEXT_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LastCycle:
    """Where the chain of an office's cycles ends."""

    index: int
    end_at: datetime


def open_missing_cycles(
    offices: Sequence[Office], *, as_of: datetime, actor: str, now: datetime, prices: PriceBook | None = None
) -> list[BillingCycle]:
    """Open every cycle that started by `as_of` and has no row yet, with its draft invoice; return the new cycles.

    The caller holds the office locks. A cycle in which the office was never live stays out: the one legal gap
    (decisions.md 6). Raises NoPriceVersion when the plan has no price for a cycle.
    """
    prices = prices or PriceBook()
    timelines = load_timelines(office.pk for office in offices)
    last = _last_cycles(offices)
    opened = [
        _frozen(office, span, timelines[office.pk], prices, as_of=as_of, now=now)
        for office in offices
        for span in _missing_spans(office, timelines[office.pk], last.get(office.pk), as_of)
    ]
    insert_all(opened)
    insert_all([_draft(cycle, now) for cycle in opened])
    first_cycles = [cycle.office_id for cycle in opened if cycle.office_id not in last]
    if first_cycles:
        Office.objects.filter(pk__among=first_cycles).update(first_cycle_opened_at=now)
    record_many([_opened_fact(cycle) for cycle in opened], actor=actor, now=now)
    return opened


def is_live(office: Office, at: datetime) -> bool:
    """Return whether the office is trialing or active at `at`."""
    return load_timelines([office.pk])[office.pk].status_at(at) in LIVE_STATUSES


def _last_cycles(offices: Sequence[Office]) -> dict[UUID, LastCycle]:
    newest = BillingCycle.objects.filter(office=OuterRef("office")).order_by("-index").values("pk")[:1]
    rows = BillingCycle.objects.filter(office__among=[office.pk for office in offices], pk=Subquery(newest))
    return {
        office_id: LastCycle(index, end_at)
        for office_id, index, end_at in rows.values_list("office", "index", "end_at")
    }


def _missing_spans(office: Office, timeline: Timeline, last: LastCycle | None, as_of: datetime) -> Iterator[CycleSpan]:
    anchor = office.billing_cycle_anchor_date
    if last is None:
        # The first cycle is the one that contains this moment; earlier ones come only from a backfill.
        if timeline.status_at(as_of) in LIVE_STATUSES:
            yield cycles.span_containing(anchor, as_of, timeline.zone_at)
        return
    for span in cycles.spans_after(anchor, last.index, last.end_at, timeline.zone_at):
        if span.start_at > as_of:
            return
        if timeline.first_live_in(span.start_at, min(span.end_at, as_of + _NEXT_INSTANT)) is not None:
            yield span


def _frozen(
    office: Office, span: CycleSpan, timeline: Timeline, prices: PriceBook, *, as_of: datetime, now: datetime
) -> BillingCycle:
    """Freeze what holds at the cycle's start; after a gap, the status of the first live moment in it."""
    live_at = timeline.first_live_in(span.start_at, min(span.end_at, as_of + _NEXT_INSTANT)) or as_of
    status = timeline.status_at(live_at)
    plan_id = timeline.plan_at(span.start_at)
    version = prices.version_on(plan_id, span.start_date)
    override = timeline.override_on(span.start_date)
    terms = PriceTerms(
        trialing=status == OfficeStatus.TRIALING,
        version_cents=version.unit_price_cents,
        override_cents=override.unit_price_cents if override else None,
    )
    return BillingCycle(
        office=office,
        index=span.index,
        key=span.key,
        start_date=span.start_date,
        end_date=span.end_date,
        start_at=span.start_at,
        end_at=span.end_at,
        zone=span.zone,
        status=status,
        plan_id=plan_id,
        price_version=version,
        price_override=override,
        unit_price_cents=unit_price(terms),
        opened_at=now,
    )


def _opened_fact(cycle: BillingCycle) -> Fact:
    terms: dict[str, PayloadValue] = {
        "cycle": cycle.key,
        "status": cycle.status,
        "unit_price_cents": cycle.unit_price_cents,
    }
    return Fact(office_stream(cycle.office.reference), "cycle.opened", terms)


def _draft(cycle: BillingCycle, now: datetime) -> Invoice:
    return Invoice(
        office_id=cycle.office_id,
        cycle=cycle,
        invoice_type=InvoiceType.MONTHLY,
        currency=cycle.office.currency,
        created_at=now,
        updated_at=now,
    )
