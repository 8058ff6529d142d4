"""Change what holds for an office: status, zone, plan, anchor, price override. Takes effect with the next cycle."""

from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction
from django.db.models import Max

from audit.chain import Fact, record
from audit.seal import PayloadValue, instant
from offices.audit_stream import office_stream
from offices.locking import lock_office
from offices.models import Office, OfficePlan, OfficeStatus, OfficeStatusChange, OfficeZone, Plan, PriceOverride
from offices.timeline import PriceBook, load_timelines
from patients.models import ActivityPeriod


class AnchorFixed(Exception):
    """The first cycle has opened: every later cycle is counted from this anchor (product.md rule 6)."""


class PeriodReversed(ValueError):
    """It ends after it begins."""


class ZoneUnknown(ValueError):
    """Not a zone of the IANA database, such as America/New_York."""


@transaction.atomic
def change_status(*, office_id: UUID, status: OfficeStatus, actor: str, now: datetime) -> bool:
    """Set the status from `now` on; return whether anything changed.

    Canceled or inactive: the open draft still closes at its boundary, no new cycle follows (decisions.md 7).
    """
    office = lock_office(office_id)
    if load_timelines([office.pk])[office.pk].status_at(now) == status:
        return False
    since = after_activity(office.pk, now)
    OfficeStatusChange.objects.update_or_create(office=office, effective_at=since, defaults={"status": status})
    _tell(office, "office.status_changed", {"to": status, "since": instant(since)}, actor, now)
    return True


def after_activity(office_id: UUID, now: datetime) -> datetime:
    """Return `now`, or the instant after the newest activation when one got the office's lock before us.

    `now` was read before the lock was had; a status that begins before an activation that is charged already would
    say that the office was not live then.
    """
    newest = ActivityPeriod.objects.filter(office=office_id).aggregate(newest=Max("activated_at"))["newest"]
    return now if newest is None or newest < now else newest + timedelta(microseconds=1)


@transaction.atomic
def change_zone(*, office_id: UUID, timezone: str, actor: str, now: datetime) -> bool:
    """Set the zone from `now` on, for the next cycle; return whether anything changed; raise ZoneUnknown."""
    check_zone(timezone)
    office = lock_office(office_id)
    if load_timelines([office.pk])[office.pk].zone_at(now) == timezone:
        return False
    OfficeZone.objects.update_or_create(office=office, effective_at=now, defaults={"timezone": timezone})
    _tell(office, "office.zone_changed", {"to": timezone}, actor, now)
    return True


@transaction.atomic
def change_plan(*, office_id: UUID, plan: Plan, actor: str, now: datetime) -> bool:
    """Put the office under another plan from `now` on, for the next cycle; return whether anything changed.

    Raises NoPriceVersion for a plan that has no price yet: the next run could bill the office nothing.
    """
    office = lock_office(office_id)
    PriceBook().version_on(plan.pk, now.date())
    if load_timelines([office.pk])[office.pk].plan_at(now) == plan.pk:
        return False
    OfficePlan.objects.update_or_create(office=office, effective_at=now, defaults={"plan": plan})
    _tell(office, "office.plan_changed", {"to": plan.code}, actor, now)
    return True


@transaction.atomic
def change_anchor(*, office_id: UUID, anchor: date, actor: str, now: datetime) -> bool:
    """Move the billing anchor; return whether anything changed; raise AnchorFixed once a cycle has opened."""
    office = lock_office(office_id)
    if office.billing_cycle_anchor_date == anchor:
        return False
    if office.first_cycle_opened_at is not None:
        raise AnchorFixed("the billing anchor is fixed once the first cycle has opened")
    Office.objects.filter(pk=office.pk).update(billing_cycle_anchor_date=anchor)
    _tell(office, "office.anchor_changed", {"to": anchor.isoformat()}, actor, now)
    return True


@transaction.atomic
def override_price(
    *, office_id: UUID, unit_price_cents: int, starts_on: date, ends_on: date, reason: str, actor: str, now: datetime
) -> PriceOverride:
    """Give the office a price of its own for cycles that start in [starts_on, ends_on), for a reason.

    Of several for one day the latest given holds. Raises PeriodReversed.
    """
    if ends_on <= starts_on:
        raise PeriodReversed("the price has to end after it begins")
    office = lock_office(office_id)
    override = PriceOverride.objects.create(
        office=office,
        unit_price_cents=unit_price_cents,
        starts_on=starts_on,
        ends_on=ends_on,
        reason=reason,
        created_at=now,
    )
    payload: dict[str, PayloadValue] = {
        "unit_price_cents": unit_price_cents,
        "starts_on": starts_on.isoformat(),
        "ends_on": ends_on.isoformat(),
    }
    _tell(office, "office.price_overridden", payload, actor, now)
    return override


def check_zone(timezone: str) -> None:
    """Raise ZoneUnknown unless the name is in the IANA database."""
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ZoneUnknown("not a zone of the IANA database, such as America/New_York") from None


def _tell(office: Office, action: str, payload: dict[str, PayloadValue], actor: str, now: datetime) -> None:
    record(Fact(office_stream(office.reference), action, payload), actor=actor, now=now)
