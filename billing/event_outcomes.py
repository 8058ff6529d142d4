"""What becomes of events that were worked through, written on their rows and counted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from billing.models import EventStatus, EventTrouble, StripeEvent
from billing.stripe_gateway.client import API_VERSION

# Our own commit may be behind Stripe's event, and events may come days late: with the back-off, about five days.
QUARANTINE_TRIES = 30


@dataclass(slots=True)
class EventSummary:
    """What a drain of the inbox did, in counts."""

    counts: Counter[str] = field(default_factory=Counter)
    parked: list[UUID] = field(default_factory=list)


def settle(
    events: Iterable[StripeEvent],
    status: EventStatus,
    now: datetime,
    summary: EventSummary,
    *,
    trouble: EventTrouble | None = None,
) -> None:
    """Note that the events are worked through, and on which of them there was something wrong."""
    for code, group in _by_trouble(events, trouble).items():
        StripeEvent.objects.filter(pk__in=group).update(status=status, processed_at=now, error_code=code)
        summary.counts[status] += len(group)


def _by_trouble(events: Iterable[StripeEvent], trouble: EventTrouble | None) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for event in events:
        other_version = event.api_version not in {"", API_VERSION}
        code = trouble or (EventTrouble.OTHER_VERSION if other_version else "")
        groups.setdefault(code, []).append(event.pk)
    return groups


def quarantine(events: Iterable[StripeEvent], now: datetime, summary: EventSummary) -> None:
    """The object is unknown, or our own commit is behind: try again for a while, then keep it as dead."""
    for event in events:
        dead = event.attempts >= QUARANTINE_TRIES
        status = EventStatus.DEAD if dead else EventStatus.QUARANTINED
        StripeEvent.objects.filter(pk=event.pk).update(
            status=status, error_code=EventTrouble.OBJECT_UNKNOWN, processed_at=now if dead else None
        )
        summary.counts[status] += 1


def later(
    events: Iterable[StripeEvent], code: str, now: datetime, summary: EventSummary, *, hopeless: bool = False
) -> None:
    """The events are tried again after their back-off; hopeless ones only so often, then they are kept as dead."""
    for event in events:
        dead = hopeless and event.attempts >= QUARANTINE_TRIES
        changes = {"status": EventStatus.DEAD, "processed_at": now} if dead else {}
        StripeEvent.objects.filter(pk=event.pk).update(error_code=code, **changes)
        summary.counts[EventStatus.DEAD if dead else "retry_later"] += 1
