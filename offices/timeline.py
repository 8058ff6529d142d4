"""What holds for an office at an instant: its dated rows, loaded for many offices at once and asked in Python."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model

from offices.models import (
    LIVE_STATUSES,
    OfficePlan,
    OfficeStatus,
    OfficeStatusChange,
    OfficeZone,
    PlanPrice,
    PriceOverride,
)

Held = TypeVar("Held")


class NoPriceVersion(Exception):
    """The plan has no price version for this day; add one before the office can be billed."""


@dataclass(slots=True)
class Timeline:
    """The dated rows of one office, oldest first; every question is "what holds at this instant (or day)?"."""

    statuses: list[tuple[datetime, OfficeStatus]] = field(default_factory=list)
    zones: list[tuple[datetime, str]] = field(default_factory=list)
    plans: list[tuple[datetime, int]] = field(default_factory=list)
    overrides: list[PriceOverride] = field(default_factory=list)

    def status_at(self, at: datetime) -> OfficeStatus:
        """Return the status that holds at `at`; before any row, the first one."""
        return _holding(self.statuses, at)

    def zone_at(self, at: datetime) -> str:
        """Return the zone name that holds at `at`."""
        return _holding(self.zones, at)

    def plan_at(self, at: datetime) -> int:
        """Return the id of the plan that holds at `at`."""
        return _holding(self.plans, at)

    def override_on(self, day: date) -> PriceOverride | None:
        """Return the price override for cycles that start on `day`: the latest given of those that cover it."""
        covering = [override for override in self.overrides if override.starts_on <= day < override.ends_on]
        return covering[-1] if covering else None

    def first_live_in(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first instant of [start, end) at which the office is trialing or active, or None."""
        if self.status_at(start) in LIVE_STATUSES:
            return start
        return next((at for at, status in self.statuses if start < at < end and status in LIVE_STATUSES), None)

    def last_stop_before(self, end: datetime) -> datetime | None:
        """Return the last instant before `end` at which the office was canceled or became inactive, or None."""
        return next((at for at, status in reversed(self.statuses) if at < end and status not in LIVE_STATUSES), None)


def _holding(rows: Sequence[tuple[datetime, Held]], at: datetime) -> Held:
    position = bisect_right(rows, at, key=lambda row: row[0])
    return rows[max(position - 1, 0)][1]


def load_timelines(office_ids: Iterable[UUID]) -> dict[UUID, Timeline]:
    """Load the dated rows of these offices with four queries."""
    ids = list(office_ids)
    timelines: dict[UUID, Timeline] = defaultdict(Timeline)
    for office_id, at, status in _dated(OfficeStatusChange, "status", ids):
        timelines[office_id].statuses.append((at, OfficeStatus(status)))
    for office_id, at, zone in _dated(OfficeZone, "timezone", ids):
        timelines[office_id].zones.append((at, zone))
    for office_id, at, plan_id in _dated(OfficePlan, "plan_id", ids):
        timelines[office_id].plans.append((at, plan_id))
    for override in PriceOverride.objects.filter(office__among=ids).order_by("created_at", "pk"):
        timelines[override.office_id].overrides.append(override)
    return dict(timelines)


def _dated(model: type[Model], held: str, office_ids: Sequence[UUID]) -> Iterable[Any]:
    """Return (office, instant, what holds from then on), oldest first: plain values, as a run reads thousands."""
    rows = model._base_manager.filter(office__among=office_ids).order_by("effective_at")
    return rows.values_list("office_id", "effective_at", held)


def status_of(office_id: UUID, *, at: datetime) -> OfficeStatus:
    """Return the status that holds for one office at `at`, with one query."""
    changes = OfficeStatusChange.objects.filter(office=office_id).order_by("effective_at")
    return Timeline(statuses=[(change.effective_at, OfficeStatus(change.status)) for change in changes]).status_at(at)


class PriceBook:
    """The price versions of all plans: few rows, read once per run."""

    def __init__(self) -> None:
        self._versions: dict[int, list[PlanPrice]] = defaultdict(list)
        for price in PlanPrice.objects.order_by("effective_on"):
            self._versions[price.plan_id].append(price)

    def version_on(self, plan_id: int, day: date) -> PlanPrice:
        """Return the version for cycles that start on `day`; raise NoPriceVersion when there is none yet."""
        versions = [price for price in self._versions[plan_id] if price.effective_on <= day]
        if not versions:
            raise NoPriceVersion("the plan has no price version for this day")
        return versions[-1]
