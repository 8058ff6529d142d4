"""Offices that were canceled or inactive for a while: activity at such times is not charged.

decisions.md 6: "nothing is caught up for a time when the office was canceled or inactive". Few offices ever have
such a gap, so the monthly run asks for them first and keeps the plain, fast statement for all others.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Greatest, Least

from billing.models import BillingCycle, LineItem
from offices.models import LIVE_STATUSES, OfficeStatusChange
from offices.timeline import Timeline, load_timelines
from patients.models import ActivityPeriod


def offices_with_gaps(office_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the offices that were canceled or inactive at some time."""
    gaps = OfficeStatusChange.objects.filter(office__among=list(office_ids)).exclude(status__in=LIVE_STATUSES)
    return set(gaps.values_list("office", flat=True))


def while_live(starts: str, ends: str) -> Exists:
    """Say, from a query on cycles, whether the joined period and the cycle share a moment at which the office was live.

    A live stretch begins with a status row and ends with the next one; it must begin before the shared time ends and
    end after it begins.
    """
    following = OfficeStatusChange.objects.filter(office=OuterRef("office"), effective_at__gt=OuterRef("effective_at"))
    shared_start = Greatest(OuterRef(starts), OuterRef("start_at"))
    shared_end = Least(Coalesce(OuterRef(ends), OuterRef("end_at")), OuterRef("end_at"))
    live = OfficeStatusChange.objects.filter(
        office=OuterRef("office"), status__in=LIVE_STATUSES, effective_at__lt=shared_end
    ).annotate(until=Subquery(following.order_by("effective_at").values("effective_at")[:1]))
    return Exists(live.filter(Q(until__isnull=True) | Q(until__gt=shared_start)))


def count_billable(cycles: Sequence[BillingCycle]) -> dict[int, int]:
    """Count the billable patients of these cycles one by one, in Python: the safety bound of offices with gaps.

    Patients keep the line they had when their end was written down (product.md rule 3), or when the office stopped:
    the cycle was opened ahead of time then (`--as-of` may lie in the future), and its draft stays (decisions.md 7).
    """
    timelines = load_timelines({cycle.office_id for cycle in cycles})
    return {cycle.pk: len(_billable(cycle, timelines[cycle.office_id])) for cycle in cycles}


def _billable(cycle: BillingCycle, timeline: Timeline) -> set[UUID]:
    periods = ActivityPeriod.objects.filter(office=cycle.office_id, activated_at__lt=cycle.end_at)
    stopped_at = timeline.last_stop_before(cycle.end_at)
    billable: set[UUID] = set()
    ends: dict[UUID, datetime] = {}  # when it last became known that the patient is not billable
    for period in periods:
        start = max(period.activated_at, cycle.start_at)
        end = min(period.deactivated_at or cycle.end_at, cycle.end_at)
        if start < end and timeline.first_live_in(start, end) is not None:
            billable.add(period.patient_id)
            continue
        known = [at for at in (period.deactivation_recorded_at, stopped_at if start < end else None) if at is not None]
        if known:
            ends[period.patient_id] = max([*known, ends.get(period.patient_id, known[0])])
    lines = LineItem.objects.filter(patient_reference__in=ends, cycle_key=cycle.key, live=True)
    kept = {
        line.patient_reference
        for line in lines
        if line.patient_reference and line.created_at <= ends[line.patient_reference]
    }
    return billable | kept
