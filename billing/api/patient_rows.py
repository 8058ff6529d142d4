"""Read patient accounts as billing knows them: references and activity, never who the person is."""

from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value

from billing.api.tenants import of_offices
from billing.cycle_origin import cycles_of_the_run
from billing.models import LineItem
from patients.models import ActivityPeriod, Patient

Row = dict[str, Any]
_OPEN_CYCLE_COLUMNS = ("id", "key", "start_date", "end_date", "unit_price_cents")


def open_cycle(office_id: UUID) -> Row | None:
    """Return the office's newest cycle that is not closed, or None before its first.

    Between a boundary and the run that follows it, this is the cycle that has just ended.
    """
    cycles = cycles_of_the_run().filter(office_id=office_id, closed_at__isnull=True)
    newest: Row | None = cycles.order_by("-index").values(*_OPEN_CYCLE_COLUMNS).first()
    return newest


def patient_rows(office_id: UUID) -> QuerySet[Any, Any]:
    """Return the office's accounts with their latest activity and whether the open cycle charges them already."""
    cycle = open_cycle(office_id)
    latest = ActivityPeriod.objects.filter(patient=OuterRef("pk")).order_by("-activated_at")
    charged = LineItem.objects.filter(
        patient_reference=OuterRef("pk"), cycle_key=cycle["key"] if cycle else "", live=True
    )
    return of_offices(Patient.objects.all(), [office_id]).values(
        "reference",
        "office_id",
        "created_at",
        is_active=Exists(ActivityPeriod.objects.filter(Q(patient=OuterRef("pk")) & Q(deactivated_at__isnull=True))),
        activated_at=Subquery(latest.values("activated_at")[:1]),
        deactivated_at=Subquery(latest.values("deactivated_at")[:1]),
        is_charged=Exists(charged) if cycle else Value(value=False),
    )
