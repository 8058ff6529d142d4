"""Does the close look right? Checks that know nothing of how the lines were made (decisions.md 20).

A difference parks the office before anything is sent: two lines for one patient, a missing one, a wrong price.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q
from django.db.models.expressions import Combinable

from billing.live_time import count_billable, offices_with_gaps
from billing.models import BillingCycle, Invoice, LineItem, ParkingCode
from billing.models.invoice import PATIENT_TYPES
from patients.models import ActivityPeriod

GROWTH_FACTOR, GROWTH_ALLOWANCE = 1.5, 20  # warn above 1.5 x + 20 patient accounts,
GROWTH_CHECK_FROM_INDEX = 2  # and not before an office's third close

_PATIENT = "office__activity_periods__patient_id"


class BoundBroken(Exception):
    """A close that must not happen: the office is parked with `code`."""

    def __init__(self, office_id: UUID, code: ParkingCode) -> None:
        super().__init__(code)
        self.office_id = office_id
        self.code = code


@dataclass(frozen=True, slots=True)
class Charged:
    """What the lines of a cycle say: how many patient accounts, at which lowest and highest price."""

    count: int
    lowest_cents: int
    highest_cents: int


def check_charges(cycles: Sequence[BillingCycle]) -> dict[int, int]:
    """Return the number of charged patient accounts by cycle id; raise BoundBroken for the first doubtful office."""
    charged = _charged(cycles)
    gaps = offices_with_gaps({cycle.office_id for cycle in cycles})
    billable = {**_billable_counts(cycles), **count_billable([c for c in cycles if c.office_id in gaps])}
    for cycle in cycles:
        lines = charged.get(cycle.pk, Charged(0, cycle.unit_price_cents, cycle.unit_price_cents))
        if lines.count != billable.get(cycle.pk, 0):
            raise BoundBroken(cycle.office_id, ParkingCode.COUNT_DIFFERS)
        if not lines.lowest_cents == lines.highest_cents == cycle.unit_price_cents:
            raise BoundBroken(cycle.office_id, ParkingCode.PRICE_DIFFERS)
    return {cycle_id: lines.count for cycle_id, lines in charged.items()}


def grown_suddenly(cycles: Sequence[BillingCycle], counts: dict[int, int]) -> list[UUID]:
    """Return the offices whose patient accounts grew beyond what is usual since their last closed cycle."""
    previous = {
        cycle.office_id: cycle
        for cycle in BillingCycle.objects.filter(
            office__among=[cycle.office_id for cycle in cycles], closed_at__isnull=False
        ).order_by("index")
    }
    closes = BillingCycle.objects.filter(office__among=previous, closed_at__isnull=False)
    number = dict(closes.order_by().values_list("office").annotate(number=Count("pk")))
    return [
        cycle.office_id
        for cycle in cycles
        if number.get(cycle.office_id, 0) >= GROWTH_CHECK_FROM_INDEX
        and counts.get(cycle.pk, 0) > GROWTH_FACTOR * (previous[cycle.office_id].patient_count or 0) + GROWTH_ALLOWANCE
    ]


def _charged(cycles: Sequence[BillingCycle]) -> dict[int, Charged]:
    # Ids of invoices first: joined in, the planner would read every line there is (performance.md).
    invoices = Invoice.objects.filter(cycle__among=[cycle.pk for cycle in cycles])
    cycle_of = dict(invoices.values_list("pk", "cycle"))
    rows = (
        LineItem.objects.filter(invoice__among=list(cycle_of), live=True, item_type__in=PATIENT_TYPES)
        .order_by()
        .values_list("invoice")
        .annotate(count=Count("pk"), lowest=Min("unit_price_cents"), highest=Max("unit_price_cents"))
    )
    return {cycle_of[invoice_id]: Charged(count, lowest, highest) for invoice_id, count, lowest, highest in rows}


def _billable_counts(cycles: Sequence[BillingCycle]) -> dict[int, int]:
    """Count patients, not lines: everyone with a period in the cycle, and who had a line before a backdated end."""
    counts: Counter[int] = Counter()
    counts.update(_patients_by_cycle(cycles, _overlaps("office__activity_periods__", F("start_at"), F("end_at"))))
    counts.update(_patients_by_cycle(cycles, _kept_a_line()))
    return counts


def _patients_by_cycle(cycles: Sequence[BillingCycle], has_a_period: Q) -> dict[int, int]:
    rows = BillingCycle.objects.filter(Q(pk__among=[cycle.pk for cycle in cycles]) & has_a_period).order_by()
    return dict(rows.values_list("pk").annotate(count=Count(_PATIENT, distinct=True)))


def _overlaps(prefix: str, start: Combinable, end: Combinable) -> Q:
    open_or_ends_later = Q(**{f"{prefix}deactivated_at__isnull": True}) | Q(**{f"{prefix}deactivated_at__gt": start})
    return Q(**{f"{prefix}activated_at__lt": end}) & open_or_ends_later


def _kept_a_line() -> Q:
    """Say who has no period in the cycle (any more), but had a line already when the end was written down.

    The end was backdated, or the cycle had been opened ahead of time (`--as-of` may lie in the future).
    """
    still_there = ActivityPeriod.objects.filter(
        _overlaps("", OuterRef("start_at"), OuterRef("end_at")), patient=OuterRef(_PATIENT)
    )
    line = LineItem.objects.filter(
        patient_reference=OuterRef(_PATIENT),
        cycle_key=OuterRef("key"),
        live=True,
        created_at__lte=OuterRef("office__activity_periods__deactivation_recorded_at"),
    )
    ended_before_the_cycle = Q(
        office__activity_periods__activated_at__lt=F("end_at"),
        office__activity_periods__deactivated_at__lte=F("start_at"),
    )
    return ended_before_the_cycle & Q(Exists(line)) & ~Q(Exists(still_there))
