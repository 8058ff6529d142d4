"""Does what was charged in a cycle agree with who was active in it? Counts of patients, never who they are.

Looks at closed cycles with a live invoice; a cycle whose invoice was canceled without a replacement is waived
(decisions.md 5). Shares no query with the one that makes the lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from billing.line_items import let_off_charges, live_monthly_invoices
from billing.live_time import offices_with_gaps, while_live
from billing.models import BillingCycle, LineItem
from patients.models import ActivityPeriod

_PERIOD = "office__activity_periods__"
_PATIENT = f"{_PERIOD}patient_id"


@dataclass(frozen=True, slots=True)
class UsageDifference:
    """In one cycle, how many patient accounts or lines differ, and how: `code` is a key of MEANINGS."""

    cycle: BillingCycle
    code: str
    count: int

    @property
    def is_wrong(self) -> bool:
        """Whether a person should look; what waits for the next close comes right by itself."""
        return self.code != "adjustment_waits"


MEANINGS = {
    "billable_not_charged": "active in the cycle, known when it closed, and not charged",
    "adjustment_waits": "active in the cycle, known only since it closed; the next close charges it as an adjustment",
    "charged_not_billable": "charged for the cycle without any activity in it",
    "price_differs": "charged at another price than the cycle's frozen one",
}


def usage_differences(cycles: Sequence[BillingCycle]) -> list[UsageDifference]:
    """Return what differs in those of the cycles that are not waived, by cycle and code.

    Who is missing is told of closed cycles only: an open one gets its lines when it is carried over and when it closes.
    """
    charged = BillingCycle.objects.filter(
        Exists(live_monthly_invoices(OuterRef("pk"))), pk__among=[cycle.pk for cycle in cycles]
    )
    billed = charged.filter(closed_at__isnull=False)
    counts = {
        "billable_not_charged": _not_charged(billed, cycles, Q(**{f"{_PERIOD}id__lte": F("last_period_id")})),
        "adjustment_waits": _not_charged(billed, cycles, Q(**{f"{_PERIOD}id__gt": F("last_period_id")})),
        "charged_not_billable": _lines(charged, ~_explained()),
        "price_differs": _lines(charged, ~Q(unit_price_cents=F("invoice__office__cycles__unit_price_cents"))),
    }
    by_id = {cycle.pk: cycle for cycle in cycles}
    return [
        UsageDifference(by_id[cycle_id], code, count)
        for code, found in counts.items()
        for cycle_id, count in sorted(found.items())
    ]


def _not_charged(billed: QuerySet[BillingCycle], cycles: Sequence[BillingCycle], which: Q) -> dict[int, int]:
    """Count patients with a period in the cycle and no live line for it, other than those who were let off."""
    charged = LineItem.objects.filter(patient_reference=OuterRef(_PATIENT), cycle_key=OuterRef("key"), live=True)
    let_off = let_off_charges(OuterRef(_PATIENT), OuterRef("key"))
    missing = (
        which
        & Q(**{f"{_PERIOD}activated_at__lt": F("end_at")})
        & (Q(**{f"{_PERIOD}deactivated_at__isnull": True}) | Q(**{f"{_PERIOD}deactivated_at__gt": F("start_at")}))
        & ~Q(Exists(charged))
        & ~Q(Exists(let_off))
    )
    gaps = offices_with_gaps({cycle.office_id for cycle in cycles})
    found = _count(billed.filter(~Q(office__among=list(gaps)) & missing) if gaps else billed.filter(missing))
    if gaps:
        live = Q(while_live(f"{_PERIOD}activated_at", f"{_PERIOD}deactivated_at"))
        found |= _count(billed.filter(Q(office__among=list(gaps)) & missing & live))
    return found


def _count(cycles: QuerySet[BillingCycle]) -> dict[int, int]:
    return dict(cycles.order_by().values_list("pk").annotate(count=Count(_PATIENT, distinct=True)))


def _lines(charged: QuerySet[BillingCycle], wrong: Q) -> dict[int, int]:
    """Count the live lines charged for these cycles that are wrong."""
    lines = LineItem.objects.filter(
        wrong,
        live=True,
        patient_reference__isnull=False,
        invoice__office__cycles__in=charged,
        cycle_key=F("invoice__office__cycles__key"),
    )
    return dict(lines.order_by().values_list("invoice__office__cycles").annotate(count=Count("pk")))


def _explained() -> Q:
    """Say whether a period reaches into the cycle, or did when the line was made: an end takes no line away."""
    reaching = ActivityPeriod.objects.filter(
        Q(deactivated_at__isnull=True)
        | Q(deactivated_at__gt=OuterRef("invoice__office__cycles__start_at"))
        | Q(deactivation_recorded_at__gte=OuterRef("created_at")),
        patient=OuterRef("patient_reference"),
        office=OuterRef("invoice__office"),
        activated_at__lt=OuterRef("invoice__office__cycles__end_at"),
    )
    return Q(Exists(reaching))
