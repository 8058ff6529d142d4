"""What an activation must know before it decides, in two statements however much it is.

Asked under the office lock, so that nobody changes it meanwhile.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import DateTimeField, Exists, Q, Subquery, UUIDField
from django.db.models.functions import Coalesce

from audit.compiled import Parameter, Statement
from billing.cycle_origin import backfilled
from billing.models import BillingCycle
from offices.models import LIVE_STATUSES, OfficeStatusChange
from patients.models import ActivityPeriod, Patient

_OFFICE, _PATIENT = Parameter("office", UUIDField()), Parameter("patient", UUIDField())
_NOW, _STARTS_AT = Parameter("now", DateTimeField()), Parameter("starts_at", DateTimeField())


@dataclass(frozen=True, slots=True)
class Standing:
    """How a patient account stands with its office.

    `has_gaps`: the office was canceled or inactive at some time.
    """

    office_is_live: bool
    has_gaps: bool
    is_active: bool
    was_active_later: bool


@dataclass(frozen=True, slots=True)
class KnownCycle:
    """A cycle that an activation may touch."""

    id: int
    key: str
    end_at: datetime
    closed_at: datetime | None
    is_backfilled: bool


def standing_of(*, office_id: UUID, patient_id: UUID, starts_at: datetime, now: datetime) -> Standing | None:
    """Return how the account stands, for an activation from `starts_at` on; None when there is no such account."""
    row = _STANDING.first(office=office_id, patient=patient_id, starts_at=starts_at, now=now)
    if row is None:
        return None
    return Standing(office_is_live=row.pop("status") in LIVE_STATUSES, **row)


def known_cycles(*, office_id: UUID, starts_at: datetime) -> list[KnownCycle]:
    """Return the office's open cycles, those that end after `starts_at`, and the newest; the oldest first."""
    return [KnownCycle(**row) for row in _CYCLES.rows(office=office_id, starts_at=starts_at)]


def _standing() -> Any:
    changes = OfficeStatusChange.objects.filter(office=_OFFICE)
    held = changes.filter(effective_at__lte=_NOW).order_by("-effective_at").values("status")[:1]
    first = changes.order_by("effective_at").values("status")[:1]
    periods = ActivityPeriod.objects.filter(patient=_PATIENT)
    return Patient.objects.filter(pk=_PATIENT, office=_OFFICE).values(
        status=Coalesce(Subquery(held), Subquery(first)),
        has_gaps=Exists(changes.exclude(status__in=LIVE_STATUSES)),
        is_active=Exists(periods.filter(deactivated_at__isnull=True)),
        was_active_later=Exists(periods.filter(deactivated_at__gt=_STARTS_AT)),
    )


def _cycles() -> Any:
    cycles = BillingCycle.objects.filter(office=_OFFICE)
    newest = cycles.order_by("-index").values("index")[:1]
    touched = Q(closed_at__isnull=True) | Q(end_at__gt=_STARTS_AT) | Q(index=Subquery(newest))
    columns = ("id", "key", "end_at", "closed_at")
    return cycles.filter(touched).order_by("index").values(*columns, is_backfilled=backfilled())


_STANDING, _CYCLES = Statement(_standing), Statement(_cycles)
