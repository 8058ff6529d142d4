"""The third way: who was active, what was charged, and what of it became an invoice. One query for each question.

Patients are counted, never named: a discrepancy is about a cycle, and its evidence holds two numbers. No difference
are: an end that was backdated (decisions.md 5), a time when the office was not live (decisions.md 6), a cycle that was
waived, and what people let off: a line that a replacement left out, an adjustment on a canceled invoice.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from billing.discrepancies import Evidence
from billing.line_items import let_off_charges
from billing.live_time import offices_with_gaps, while_live
from billing.models import (
    BillingCycle,
    DiscrepancyKind,
    Invoice,
    InvoiceStatus,
    InvoiceType,
    LineItem,
    ReconciliationRun,
    RepairKind,
)
from billing.models.invoice import PATIENT_TYPES
from billing.reconciliation import scope
from billing.reconciliation.finding import Finding
from patients.models import ActivityPeriod

Kind = DiscrepancyKind

_STARTS = "office__activity_periods__activated_at"
_ENDS = "office__activity_periods__deactivated_at"
_PATIENT = "office__activity_periods__patient_id"


def active_not_charged(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield the closed cycles in which somebody was active without a charge.

    `waiting` counts those recorded after the close: the office's next close charges them as an adjustment.
    """
    cycles = scope.cycles(run).filter(Exists(_live_invoice(OuterRef("pk"))))
    gaps = offices_with_gaps(set(cycles.values_list("office", flat=True)))
    whole, interrupted = cycles.exclude(office__among=list(gaps)), cycles.filter(office__among=list(gaps))
    live = Q(while_live(_STARTS, _ENDS))
    for rows in (_uncharged(whole, Q()), _uncharged(interrupted, live) if gaps else []):
        for row in rows:
            yield _of_cycle(
                Kind.ACTIVE_NOT_CHARGED,
                row,
                RepairKind.BILL,
                amount=row["missing"] * row["unit_price_cents"],
                ours={"active_not_charged": row["missing"], "waiting": row["waiting"]},
            )


def _uncharged(cycles: QuerySet[BillingCycle], more: Q) -> Iterable[Mapping[str, Any]]:
    active = Q(**{f"{_STARTS}__lt": F("end_at")}) & (
        Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gt": F("start_at")})
    )
    charged = LineItem.objects.filter(patient_reference=OuterRef(_PATIENT), cycle_key=OuterRef("key"), live=True)
    let_off = let_off_charges(OuterRef(_PATIENT), OuterRef("key"))
    recorded_later = Q(office__activity_periods__id__gt=F("last_period_id"))
    return (
        cycles.filter(active & more & ~Q(Exists(charged)) & ~Q(Exists(let_off)))
        .order_by()
        .values("pk", "key", "office", "unit_price_cents")
        .annotate(missing=Count(_PATIENT, distinct=True), waiting=Count(_PATIENT, distinct=True, filter=recorded_later))
    )


def charged_never_active(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield the closed cycles in which somebody was charged who was active at no moment of it."""
    cycle = scope.cycles(run).filter(office=OuterRef("invoice__office"), key=OuterRef("cycle_key"))
    periods = ActivityPeriod.objects.filter(patient=OuterRef(OuterRef("patient_reference")))
    overlapping = periods.filter(
        Q(deactivated_at__isnull=True) | Q(deactivated_at__gt=OuterRef("start_at")), activated_at__lt=OuterRef("end_at")
    )
    # The end was backdated after the charge: the line stays (product.md rule 3).
    ended_since = periods.filter(
        activated_at__lt=OuterRef("end_at"),
        deactivation_recorded_at__gte=OuterRef(OuterRef("created_at")),
    )
    never = Exists(cycle.filter(~Exists(overlapping) & ~Exists(ended_since)))
    rows = (
        LineItem.objects.filter(never, live=True, patient_reference__isnull=False, invoice__closed_at__isnull=False)
        .order_by()
        .values("invoice__office", "cycle_key")
        .annotate(number=Count("patient_reference", distinct=True))
    )
    for row in rows:
        about = scope.cycles(run).get(office=row["invoice__office"], key=row["cycle_key"])
        yield _of_cycle(
            Kind.CHARGED_NEVER_ACTIVE,
            {"pk": about.pk, "key": about.key, "office": about.office_id},
            RepairKind.REPLACE,
            amount=row["number"] * about.unit_price_cents,
            ours={"charged_never_active": row["number"]},
        )


def line_count(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield the cycles whose lines are not as many as the patient accounts that were counted at the close."""
    lines = Count(
        "invoices__line_items",
        filter=Q(invoices__line_items__live=True, invoices__line_items__item_type__in=PATIENT_TYPES),
    )
    replaced = Invoice.objects.filter(cycle=OuterRef("pk"), replaces__isnull=False)
    rows = (
        scope.cycles(run)
        .filter(~Exists(replaced) & Exists(_live_invoice(OuterRef("pk"))), patient_count__isnull=False)
        .order_by()
        .values("pk", "key", "office", "patient_count", "unit_price_cents")
        .annotate(lines=lines)
        .exclude(lines=F("patient_count"))
    )
    for row in rows:
        counted = row["patient_count"] or 0
        yield _of_cycle(
            Kind.LINE_COUNT,
            row,
            RepairKind.LOOK,
            amount=abs(row["lines"] - counted) * row["unit_price_cents"],
            ours={"lines": row["lines"], "counted_at_close": counted},
        )


def _live_invoice(cycle: OuterRef) -> QuerySet[Invoice]:
    monthly = Invoice.objects.filter(cycle=cycle, invoice_type=InvoiceType.MONTHLY, closed_at__isnull=False)
    return monthly.exclude(status=InvoiceStatus.CANCELED)


def _of_cycle(kind: Kind, row: Mapping[str, Any], repair: RepairKind, *, amount: int, ours: Evidence) -> Finding:
    return Finding(
        kind,
        f"cycle:{row['pk']}",
        repair,
        amount_cents=amount,
        ours=ours,
        office_id=row["office"],
        cycle_key=row["key"],
    )
