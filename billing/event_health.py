"""How the news from Stripe is doing, in a handful of cheap counts: for the console and the metrics."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max

from billing.models import EventReplay, EventStatus, EventTrouble, StripeEvent
from billing.silence import silence_counts

# As long as Stripe keeps events: an older one can be fetched no more.
RECENT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class EventHealth:
    """Counts of the last 30 days; `silent` are writes whose news is overdue, `pulled` those fetched within a day."""

    quarantined: int
    dead: int
    foreign: int
    other_mode: int
    other_version: int
    silent: int
    pulled: int
    last_replayed_until: datetime | None


def event_health(*, now: datetime) -> EventHealth:
    """Count by an index that holds only the events in trouble, so that a large inbox costs nothing."""
    recent = StripeEvent.objects.exclude(error_code="").filter(received_at__gt=now - RECENT)
    counts = {
        (status, code): number
        for status, code, number in recent.values_list("status", "error_code").annotate(number=Count("pk"))
    }

    def of(status: EventStatus) -> int:
        return sum(number for (found, _code), number in counts.items() if found == status)

    silence = silence_counts(now=now)
    whole = EventReplay.objects.filter(finished_at__isnull=False, dry_run=False)
    return EventHealth(
        quarantined=of(EventStatus.QUARANTINED),
        dead=of(EventStatus.DEAD),
        foreign=of(EventStatus.FOREIGN),
        other_mode=of(EventStatus.DISTRUSTED),
        other_version=sum(number for (_, code), number in counts.items() if code == EventTrouble.OTHER_VERSION),
        silent=silence["overdue"],
        pulled=silence["pulled"],
        last_replayed_until=whole.aggregate(last=Max("window_until"))["last"],
    )
