"""Which patient accounts are charged in a cycle? Set-based, and the same rule for one patient and for a million.

product.md rule 1: billable when active at any moment of the cycle, at most once per cycle. decisions.md 3:
`active_patient` when active across the start (periods that touch count as one), otherwise `patient_activation`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.db.models.fields import BigIntegerField, BooleanField, DateTimeField, IntegerField, UUIDField

from audit.compiled import Parameter, Statement
from billing.live_time import offices_with_gaps, while_live
from billing.models import BillingCycle, Invoice, InvoiceStatus, InvoiceType, ItemType, LineItem, NewUUID
from billing.set_based import insert_from, inserted_from

_STARTS = "office__activity_periods__activated_at"
_ENDS = "office__activity_periods__deactivated_at"
_PATIENT = "office__activity_periods__patient_id"
Charges = QuerySet[BillingCycle, dict[str, object]]


def insert_missing_charges(cycles: Sequence[BillingCycle], *, now: datetime) -> int:
    """Charge each billable patient of these open cycles who has no live line in them yet; return the lines added.

    A cycle without an open monthly invoice (canceled: waived) gets nothing.
    """
    return sum(
        insert_from(LineItem, _charges(_among([cycle.pk for cycle in group]), live_only=live_only), **_columns(now))
        for group, live_only in _by_gap(cycles)
        if group
    )


def charge_patient(*, cycle_id: int, patient: UUID, now: datetime, has_gaps: bool) -> list[LineItem]:
    """Do the same for one open cycle and one patient; return the line, if one was missing."""
    statement = _CHARGES_WITHIN_GAPS if has_gaps else _CHARGES
    sql, params = statement.sql(cycle=cycle_id, patient=patient, now=now)
    return inserted_from(LineItem, sql, params, list(_columns(now)))


def _by_gap(cycles: Sequence[BillingCycle]) -> list[tuple[list[BillingCycle], bool]]:
    """Set the offices apart that were not live all the time: for them every period is held against the status."""
    gaps = offices_with_gaps({cycle.office_id for cycle in cycles})
    return [
        ([cycle for cycle in cycles if cycle.office_id not in gaps], False),
        ([cycle for cycle in cycles if cycle.office_id in gaps], True),
    ]


def _charges(cycles: Q, *, live_only: bool) -> Charges:
    """Return what these cycles lack, a row for each line."""
    counted = _ends_after_the_start()
    if live_only:
        counted &= Q(while_live(_STARTS, _ENDS))
    crossing, ending, starting = (
        Q(**{f"{_STARTS}__lt": F("start_at")}) & _ends_after_the_start(),
        Q(**{_ENDS: F("start_at")}),
        Q(**{_STARTS: F("start_at")}),
    )
    charges: Charges = (
        BillingCycle.objects.filter(cycles & _open_and_touching() & ~Q(_already_charged()))
        .values("invoices__pk", "key", "unit_price_cents", _PATIENT)
        .annotate(
            overlapping=Count("pk", filter=counted),
            crossing=Count("pk", filter=crossing),
            ending=Count("pk", filter=ending),
            starting=Count("pk", filter=starting),
        )
        .filter(overlapping__gt=0)
    )
    return charges


def _item_type() -> Case:
    return Case(
        When(Q(crossing__gt=0) | Q(ending__gt=0, starting__gt=0), then=Value(ItemType.ACTIVE_PATIENT)),
        default=Value(ItemType.PATIENT_ACTIVATION),
        output_field=CharField(),
    )


def _among(cycle_ids: Sequence[int]) -> Q:
    # Both sides of the join by id: without statistics (a first run) the planner would walk every draft there is.
    return Q(pk__among=cycle_ids, invoices__cycle__among=cycle_ids)


def _open_and_touching() -> Q:
    """Say which cycles have an open monthly invoice, and which periods of their offices reach into them.

    Periods that end at the very start do not make a patient billable, but one that touches them then carries on.
    """
    return (
        Q(invoices__invoice_type=InvoiceType.MONTHLY, invoices__status=InvoiceStatus.DRAFT)
        & Q(invoices__closed_at__isnull=True)
        & Q(**{f"{_STARTS}__lt": F("end_at")})
        & (Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gte": F("start_at")}))
    )


def _of_one_patient(*, live_only: bool) -> Callable[[], QuerySet[Any, Any]]:
    def build() -> QuerySet[Any, Any]:
        cycle, patient = Parameter("cycle", BigIntegerField()), Parameter("patient", UUIDField())
        only = Q(**{"pk": cycle, "invoices__cycle": cycle, _PATIENT: patient})
        columns = _columns(Parameter("now", DateTimeField()))
        return _charges(only, live_only=live_only).values_list(*columns.values())

    return build


# An activation asks one of these (audit/compiled.py).
_CHARGES, _CHARGES_WITHIN_GAPS = Statement(_of_one_patient(live_only=False)), Statement(_of_one_patient(live_only=True))


def insert_adjustments(invoices: Mapping[UUID, UUID], *, now: datetime) -> int:
    """Charge, on these open invoices (by office), what became known of their closed cycles after they closed.

    One `adjustment` line for each unbilled patient and closed cycle, at that cycle's frozen price (product.md
    rule 5). A cycle whose invoice was canceled without a replacement is waived (decisions.md 5), and so are an
    adjustment that stood on a canceled invoice and a line that a replacement left out: what was let off once is not
    charged again by itself.
    """
    gaps = offices_with_gaps(invoices)
    added = 0
    for live_only in (False, True):
        targets = [invoice for office, invoice in invoices.items() if (office in gaps) == live_only]
        if targets:
            added += insert_from(LineItem, _adjustments(targets, live_only=live_only), **_adjustment_columns(now))
    return added


def adjust_for_period(*, invoice_id: UUID, period_id: int, now: datetime, has_gaps: bool) -> list[LineItem]:
    """Do the same for one new activity period, on this open invoice; return the lines.

    What an import brought of the same patient waits for the run (decisions.md 6).
    """
    columns = _adjustment_columns(now)
    unbilled = _adjustments([invoice_id], live_only=has_gaps, only=Q(office__activity_periods__id=period_id))
    sql, params = unbilled.values_list(*columns.values()).query.sql_with_params()
    return inserted_from(LineItem, sql, params, list(columns))


def _adjustments(targets: Sequence[UUID], *, live_only: bool, only: Q | None = None) -> Charges:
    late = (
        (only or Q())  # in this one filter: a later one would join the periods a second time
        & Q(office__invoices__among=targets)
        & Q(closed_at__isnull=False, office__activity_periods__id__gt=F("last_period_id"))
        & Q(**{f"{_STARTS}__lt": F("end_at")})
        & _ends_after_the_start()
        & ~Q(_already_charged())
        & ~Q(Exists(let_off_charges(OuterRef(_PATIENT), OuterRef("key"))))
        & Q(Exists(live_monthly_invoices(OuterRef("pk"))))
    )
    if live_only:
        late &= Q(while_live(_STARTS, _ENDS))
    charges: Charges = (
        BillingCycle.objects.filter(late)
        .values("office__invoices__pk", "key", "unit_price_cents", _PATIENT)
        .annotate(overlapping=Count("pk"))  # one line, however many periods touch the cycle
    )
    return charges


def live_monthly_invoices(cycle: OuterRef) -> QuerySet[Invoice]:
    """Return the monthly invoice of a cycle, unless it was canceled."""
    return Invoice.objects.filter(cycle=cycle, invoice_type=InvoiceType.MONTHLY).exclude(status=InvoiceStatus.CANCELED)


def let_off_charges(patient: OuterRef | Value, key: OuterRef) -> QuerySet[LineItem]:
    """Return the lines by which people let a patient off a month, if no other line charges for it.

    Adjustments whose invoice was canceled, and lines whose invoice was replaced: the replacement has copies of all but
    those that it leaves out. Asks invoices and lines alone, which the API's role may read too.
    """
    replaced = Invoice.objects.filter(replaces=OuterRef("invoice"))
    dead = LineItem.objects.filter(live=False, patient_reference=patient, cycle_key=key)
    return dead.filter(Q(item_type=ItemType.ADJUSTMENT) | Q(Exists(replaced)))


def _already_charged() -> Exists:
    return Exists(LineItem.objects.filter(patient_reference=OuterRef(_PATIENT), cycle_key=OuterRef("key"), live=True))


def _ends_after_the_start() -> Q:
    return Q(**{f"{_ENDS}__isnull": True}) | Q(**{f"{_ENDS}__gt": F("start_at")})


def _columns(now: datetime | Parameter) -> dict[str, str | Combinable]:
    """Say which field of a new line is filled from what."""
    return _line("invoices__pk", _item_type(), now)


def _adjustment_columns(now: datetime) -> dict[str, str | Combinable]:
    return _line("office__invoices__pk", Value(ItemType.ADJUSTMENT), now)


def _line(invoice: str, item_type: Case | Value, now: datetime | Parameter) -> dict[str, str | Combinable]:
    return {
        "id": NewUUID(),
        "invoice": invoice,
        "item_type": item_type,
        "cycle_key": "key",
        "patient_reference": _PATIENT,
        "quantity": Value(1, output_field=IntegerField()),
        "unit_price_cents": "unit_price_cents",
        "live": Value(value=True, output_field=BooleanField()),
        "created_at": now if isinstance(now, Parameter) else Value(now, output_field=DateTimeField()),
    }
