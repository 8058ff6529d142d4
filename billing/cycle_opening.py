"""Open the cycles an office should have by now, each with its terms frozen and a draft invoice to fill.

Used by activation (one office) and by the monthly run (a chunk of offices): the same code, set-based.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Case, DateTimeField, Exists, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce

from audit.bulk_rows import insert_all
from audit.chain import Fact, record_many
from audit.seal import PayloadValue, instant
from billing import cycles
from billing.cycle_origin import backfilled
from billing.cycles import CycleSpan
from billing.models import BillingCycle, Invoice, InvoiceOrigin, InvoiceType, MonthClose
from billing.pricing import PriceTerms, unit_price
from offices.audit_stream import office_stream
from offices.models import LIVE_STATUSES, Office, OfficeStatus, OfficeStatusChange
from offices.timeline import PriceBook, Timeline, load_timelines, status_of

_NEXT_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LastCycle:
    """Where the chain of an office's cycles ends."""

    index: int
    end_at: datetime
    is_backfilled: bool


def open_missing_cycles(
    offices: Sequence[Office], *, as_of: datetime, actor: str, now: datetime, prices: PriceBook | None = None
) -> list[BillingCycle]:
    """Open every cycle that started by `as_of` and has no row yet, with its draft invoice; return the new cycles.

    The caller holds the office locks. A cycle in which the office was never live stays out: the one legal gap
    (decisions.md 6). So does one of a month that two people have signed: nothing dated in it is written any more, and
    an office that starts or comes back in it is billed from its next cycle on. Raises NoPriceVersion when the plan has
    no price for a cycle.
    """
    last = _last_cycles(offices)
    behind = [office for office in offices if office.pk not in last or last[office.pk].end_at <= as_of]
    if not behind:  # as a rule, when an account is activated: nothing more need be read
        return []
    timelines, locked = load_timelines(office.pk for office in behind), _locked_months()
    missing = [
        (office, span)
        for office in behind
        for span in _missing_spans(office, timelines[office.pk], last.get(office.pk), as_of)
        if span.key not in locked
    ]
    return open_cycles(missing, timelines, prices or PriceBook(), as_of=as_of, actor=actor, now=now)


def open_cycles(
    spans: Sequence[tuple[Office, CycleSpan]],
    timelines: Mapping[UUID, Timeline],
    prices: PriceBook,
    *,
    as_of: datetime,
    actor: str,
    now: datetime,
    origin: InvoiceOrigin = InvoiceOrigin.LIVE,
) -> list[BillingCycle]:
    """Make these cycles, each with its terms frozen and a draft invoice; the caller holds the office locks.

    The first one fixes the office's anchor. Raises NoPriceVersion.
    """
    opened = [_frozen(office, span, timelines[office.pk], prices, as_of=as_of, now=now) for office, span in spans]
    insert_all(opened)
    drafts = [_draft(cycle, origin, now) for cycle in opened]  # only now the cycles have their ids
    insert_all(drafts)
    anchored = {cycle.office_id for cycle in opened if cycle.office.first_cycle_opened_at is None}
    if anchored:
        Office.objects.filter(pk__among=anchored).update(first_cycle_opened_at=now)
    facts = [_opened_fact(cycle, draft) for cycle, draft in zip(opened, drafts, strict=True)]
    record_many(facts, actor=actor, now=now)
    return opened


def missing_a_cycle(as_of: datetime) -> Q:
    """Say, from a query on offices, whether `open_missing_cycles` would open a cycle by `as_of`.

    No cycle reaches beyond `as_of`, and the office was live for a moment since the last one ended. A canceled office
    is so never due for ever. One that has no cycle of its own yet must be live at `as_of` itself. Signed months are not
    looked at: an office that starts or comes back in one counts as due until its next cycle begins.
    """
    reaching_on = BillingCycle.objects.filter(office=OuterRef("pk"), end_at__gt=as_of)
    newest = BillingCycle.objects.filter(office=OuterRef("office")).order_by("-index")
    own_end = Case(When(backfilled(), then=Value(as_of)), default="end_at", output_field=DateTimeField())
    asked_from = Coalesce(Subquery(newest.values(from_then_on=own_end)[:1]), Value(as_of))
    live = OfficeStatusChange.objects.filter(
        office=OuterRef("pk"), effective_at__lte=as_of, status__in=LIVE_STATUSES
    ).annotate(asked_from=asked_from)
    ended_before = OfficeStatusChange.objects.filter(
        office=OuterRef("office"),
        effective_at__gt=OuterRef("effective_at"),
        effective_at__lte=OuterRef("asked_from"),
    )
    return ~Exists(reaching_on) & Exists(live.filter(~Exists(ended_before)))


def _locked_months() -> set[str]:
    """Return the keys of the months that two people have signed (decisions.md 41)."""
    return set(MonthClose.objects.filter(locked_at__isnull=False).values_list("key", flat=True))


def is_live(office: Office, at: datetime) -> bool:
    """Return whether the office is trialing or active at `at`."""
    return status_of(office.pk, at=at) in LIVE_STATUSES


def _last_cycles(offices: Sequence[Office]) -> dict[UUID, LastCycle]:
    """Return the newest cycle of each office; of one that has only a backfill's, the newest of those."""
    newest = BillingCycle.objects.filter(office=OuterRef("office")).order_by("-index").values("pk")[:1]
    rows = BillingCycle.objects.filter(office__among=[office.pk for office in offices], pk=Subquery(newest))
    return {
        office_id: LastCycle(index, end_at, is_backfilled)
        for office_id, index, end_at, is_backfilled in rows.values_list("office", "index", "end_at", backfilled())
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
        if last.is_backfilled and (span.end_at <= as_of or timeline.status_at(as_of) not in LIVE_STATUSES):
            continue  # this office has no first cycle of its own yet
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


def _opened_fact(cycle: BillingCycle, draft: Invoice) -> Fact:
    """All that is frozen: with it the cycle and its draft can be rebuilt from the log (rebuilt_books)."""
    terms: dict[str, PayloadValue] = {
        "cycle": cycle.key,
        "index": cycle.index,
        "start_at": instant(cycle.start_at),
        "end_at": instant(cycle.end_at),
        "zone": cycle.zone,
        "status": cycle.status,
        "plan": cycle.plan_id,
        "unit_price_cents": cycle.unit_price_cents,
        "invoice": str(draft.pk),
        "origin": draft.origin,
    }
    return Fact(office_stream(cycle.office.reference), "cycle.opened", terms)


def _draft(cycle: BillingCycle, origin: InvoiceOrigin, now: datetime) -> Invoice:
    return Invoice(
        office_id=cycle.office_id,
        cycle=cycle,
        invoice_type=InvoiceType.MONTHLY,
        origin=origin,
        currency=cycle.office.currency,
        created_at=now,
        updated_at=now,
    )
