"""Which patient accounts are charged in a cycle? Set-based, and the same rule for one patient and for a million.

product.md rule 1: billable when active at any moment of the cycle, at most once per cycle. decisions.md 3:
`active_patient` when active across the start (periods that touch count as one), otherwise `patient_activation`.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.fields import BooleanField, DateTimeField, IntegerField

from billing.models import BillingCycle, Invoice, InvoiceStatus, InvoiceType, ItemType, LineItem, NewUUID
from billing.set_based import insert_from

_STARTS = "office__activity_periods__activated_at"
_ENDS = "office__activity_periods__deactivated_at"
_PATIENT = "office__activity_periods__patient_id"


def insert_missing_charges(cycle_ids: Sequence[int], *, now: datetime, patient: UUID | None = None) -> int:
    """Charge each billable patient of these open cycles who has no live line in them yet; return the lines added.

    With `patient`, only that one. A cycle without an open monthly invoice (canceled: waived) gets nothing.
    """
    # Periods that end at the very start do not make a patient billable, but one that touches them then carries on.
    touching = (
        Q(pk__in=cycle_ids)
        & Q(invoices__invoice_type=InvoiceType.MONTHLY, invoices__status=InvoiceStatus.DRAFT)
        & Q(invoices__closed_at__isnull=True)
        & Q(**{f"{_STARTS}__lt": F("end_at")})
        & (Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gte": F("start_at")}))
    )
    if patient is not None:
        touching &= Q(**{_PATIENT: patient})
    billable = (
        BillingCycle.objects.filter(touching & ~Q(_already_charged()))
        .values("invoices__pk", "key", "unit_price_cents", _PATIENT)
        .annotate(
            overlapping=Count("pk", filter=Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gt": F("start_at")})),
            crossing=Count("pk", filter=_crosses_the_start()),
            ending=Count("pk", filter=Q(**{_ENDS: F("start_at")})),
            starting=Count("pk", filter=Q(**{_STARTS: F("start_at")})),
        )
        .filter(overlapping__gt=0)
    )
    item_type = Case(
        When(Q(crossing__gt=0) | Q(ending__gt=0, starting__gt=0), then=Value(ItemType.ACTIVE_PATIENT)),
        default=Value(ItemType.PATIENT_ACTIVATION),
        output_field=CharField(),
    )
    return _insert(billable, invoice="invoices__pk", item_type=item_type, now=now)


def insert_adjustments(invoice_ids: Sequence[UUID], *, now: datetime, patient: UUID | None = None) -> int:
    """Charge, on these open invoices, what became known of their offices' closed cycles after they closed.

    One `adjustment` line for each unbilled patient and closed cycle, at that cycle's frozen price (product.md
    rule 5). A cycle whose invoice was canceled without a replacement is waived (decisions.md 5).
    """
    late = (
        Q(office__invoices__in=list(invoice_ids))
        & Q(closed_at__isnull=False, office__activity_periods__id__gt=F("last_period_id"))
        & Q(**{f"{_STARTS}__lt": F("end_at")})
        & (Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gt": F("start_at")}))
    )
    if patient is not None:
        late &= Q(**{_PATIENT: patient})
    unbilled = (
        BillingCycle.objects.filter(late & ~Q(_already_charged()) & Q(Exists(live_monthly_invoices(OuterRef("pk")))))
        .values("office__invoices__pk", "key", "unit_price_cents", _PATIENT)
        .annotate(overlapping=Count("pk"))
    )
    return _insert(unbilled, invoice="office__invoices__pk", item_type=Value(ItemType.ADJUSTMENT), now=now)


def live_monthly_invoices(cycle: OuterRef) -> QuerySet[Invoice]:
    """Return the monthly invoice of a cycle, unless it was canceled."""
    return Invoice.objects.filter(cycle=cycle, invoice_type=InvoiceType.MONTHLY).exclude(status=InvoiceStatus.CANCELED)


def _already_charged() -> Exists:
    return Exists(LineItem.objects.filter(patient_reference=OuterRef(_PATIENT), cycle_key=OuterRef("key"), live=True))


def _crosses_the_start() -> Q:
    return Q(**{f"{_STARTS}__lt": F("start_at")}) & (
        Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gt": F("start_at")})
    )


def _insert(
    charges: QuerySet[BillingCycle, dict[str, object]], *, invoice: str, item_type: Case | Value, now: datetime
) -> int:
    return insert_from(
        LineItem,
        charges,
        id=NewUUID(),
        invoice=invoice,
        item_type=item_type,
        cycle_key="key",
        patient_reference=_PATIENT,
        quantity=Value(1, output_field=IntegerField()),
        unit_price_cents="unit_price_cents",
        live=Value(value=True, output_field=BooleanField()),
        created_at=Value(now, output_field=DateTimeField()),
    )
