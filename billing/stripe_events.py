"""Stripe to inbox to our rows: an event only says which object to fetch (architecture.md).

Events repeat, reorder and tie within a second, so the present state is always fetched, and applied only over the
version that was read before asking. All events of one invoice that are due together cost one fetch.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet

from audit.chain import Fact, record
from billing.careful_pull import Pulled, code_of_delay, pull_carefully, raise_if_disconnected
from billing.customer_news import look_at_customer
from billing.customers import CUSTOMER_CONTEXT
from billing.event_outcomes import QUARANTINE_TRIES, EventSummary, later, quarantine, settle
from billing.fail_points import FailPoint, reach
from billing.models import EventStatus, EventTrouble, StripeEvent
from billing.stripe_connection import live_mode
from billing.stripe_gateway.client import API_VERSION
from billing.stripe_gateway.replies import StripeReplyUnusable
from billing.stripe_gateway.webhook import EventEnvelope
from billing.stripe_objects import CustomerNews, Found, InvoiceNews, Stranger, find, is_news
from billing.wake_up import Bell, ring_after_commit
from offices.encryption import blind_index

logger = structlog.get_logger(__name__)

ACTOR = "system:stripe_events"
EVENT_STREAM = "stripe_events"
BATCH = 100
FIRST_BACK_OFF, LONGEST_BACK_OFF = timedelta(seconds=15), timedelta(hours=6)
# Our own commit may be seconds behind Stripe's event. Then Stripe is asked whose the object is: after two minutes, an
# hour, two days, and before it is given up.
ASK_ON_TRIES = frozenset({4, 8, 16, QUARANTINE_TRIES})
_WAITING = (EventStatus.PENDING, EventStatus.QUARANTINED)

Clock = Callable[[], datetime]


def receive(envelope: EventEnvelope, *, now: datetime) -> None:
    """Put an event in the inbox with one statement; one that is there already changes nothing.

    The same id with another digest is marked: a security finding (decisions.md 22).
    """
    table = connection.ops.quote_name(StripeEvent._meta.db_table)
    columns = (
        "event_id, event_type, object_id, customer_id, customer_index, customer_index_key, created, api_version, "
        "livemode, digest, received_at, status, attempts, next_attempt_at, error_code"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * 12)}, 0, %s, '') "  # noqa: S608
            f"ON CONFLICT (event_id) DO UPDATE SET conflict_at = excluded.received_at "
            f"WHERE {table}.digest <> excluded.digest",
            _row(envelope, now),
        )
    ring_after_commit(Bell.STRIPE_EVENTS)


def _row(envelope: EventEnvelope, now: datetime) -> list[str | bool | datetime | None]:
    created = datetime.fromtimestamp(envelope.created, UTC)
    adapt = connection.ops.adapt_datetimefield_value
    return [
        envelope.event_id,
        envelope.type,
        *_object(envelope.object_id or ""),
        adapt(created),
        envelope.api_version or "",
        envelope.livemode,
        envelope.digest,
        adapt(now),
        EventStatus.PENDING,
        adapt(now),
    ]


def _object(object_id: str) -> tuple[str, str | None, str | None, str | None]:
    """Return the object's id as it is kept; a customer's encrypted, with the index that its office's account has."""
    if not object_id.startswith("cus_"):
        return object_id, None, None, None
    index = blind_index(object_id, context=CUSTOMER_CONTEXT)
    sealed = StripeEvent._meta.get_field("customer_id").get_prep_value(object_id)
    return "", sealed, index.digest, index.key_id


def process_due(*, clock: Clock, retry_dead_for: str | None = None) -> EventSummary:
    """Work through the events that are due; safe to run at once. `retry_dead_for`: who wants dead ones tried again."""
    if retry_dead_for is not None:
        _revive(actor=retry_dead_for, now=clock())
    summary = EventSummary()
    while claimed := _claim(clock()):
        _work_through(claimed, clock, summary)
    return summary


def preview(*, now: datetime, retry_dead: bool = False) -> EventSummary:
    """Count what waits, without claiming and without a request (`--dry-run`)."""
    dead = StripeEvent.objects.filter(status=EventStatus.DEAD).count() if retry_dead else 0
    return EventSummary(Counter(waiting=_due(now).count() + dead))


@transaction.atomic
def _revive(*, actor: str, now: datetime) -> None:
    """Give dead events all their tries again."""
    dead = StripeEvent.objects.filter(status=EventStatus.DEAD)
    number = dead.update(status=EventStatus.PENDING, attempts=0, next_attempt_at=now, processed_at=None)
    if number:
        record(Fact(EVENT_STREAM, "events.retried", {"events": number}), actor=actor, now=now)


def _due(now: datetime) -> QuerySet[StripeEvent]:
    return StripeEvent.objects.filter(status__in=_WAITING, next_attempt_at__lte=now)


def _claim(now: datetime) -> list[StripeEvent]:
    """Take a batch; the next try of each is written down before this one begins."""
    with transaction.atomic():
        due = _due(now).order_by("next_attempt_at", "event_id")
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        events = list(due.defer("customer_id")[:BATCH])
        for event in events:
            event.attempts += 1
            event.next_attempt_at = now + min(FIRST_BACK_OFF * 2 ** min(event.attempts - 1, 20), LONGEST_BACK_OFF)
        StripeEvent.objects.bulk_update(events, ["attempts", "next_attempt_at"])
    reach(FailPoint.EVENTS_CLAIMED)
    return events


def _work_through(claimed: Sequence[StripeEvent], clock: Clock, summary: EventSummary) -> None:
    """Sort the events by what they are about, then fetch each of those things once."""
    by_object: dict[str, list[StripeEvent]] = defaultdict(list)
    for event in _believed(claimed, clock(), summary):
        by_object[_object_of(event)].append(event)
    of_invoice: dict[UUID, list[StripeEvent]] = defaultdict(list)
    with_money_back: set[UUID] = set()
    for object_id, events in by_object.items():
        found = _find(object_id, events, clock, summary)
        if isinstance(found, InvoiceNews):
            of_invoice[found.invoice_id] += events
            with_money_back |= {found.invoice_id} if found.money_back else set()
        elif isinstance(found, CustomerNews):
            _look_at_customer(found, events, clock, summary)
        elif found is not None:
            _put_away(found, events, clock(), summary)
    for invoice_id, events in of_invoice.items():
        pulled = pull_carefully(invoice_id, actor=ACTOR, clock=clock, money_back=invoice_id in with_money_back)
        _conclude(pulled, events, clock(), summary)


def _object_of(event: StripeEvent) -> str:
    return event.object_id or event.customer_id or ""


def _believed(claimed: Sequence[StripeEvent], now: datetime, summary: EventSummary) -> list[StripeEvent]:
    """Set apart the events of the other mode, and say loudly when Stripe speaks another version than we read."""
    live = live_mode()
    distrusted = [event for event in claimed if event.livemode != live]
    if distrusted:
        # A test event on a live key, or the other way round: an endpoint or a key is set up wrong.
        logger.error("events_of_other_mode", count=len(distrusted))
        settle(distrusted, EventStatus.DISTRUSTED, now, summary, trouble=EventTrouble.OTHER_MODE)
    odd = sum(event.api_version not in {"", API_VERSION} for event in claimed)
    if odd:
        # Harmless to our books, which are read with the pinned version; the endpoint should be made anew.
        logger.error("events_of_other_version", count=odd)
    return [event for event in claimed if event.livemode == live]


def _find(object_id: str, events: Sequence[StripeEvent], clock: Clock, summary: EventSummary) -> Found | None:
    """Return what the events are about, None when that could not be found out now."""
    if not any(is_news(event.event_type) for event in events):
        return Stranger.UNRELATED
    try:
        return find(object_id, ask=any(event.attempts in ASK_ON_TRIES for event in events))
    except Exception as error:  # noqa: BLE001 - one odd object must not hold up the news of all the others
        _postpone(events, error, clock(), summary)
        return None


def _look_at_customer(news: CustomerNews, events: Sequence[StripeEvent], clock: Clock, summary: EventSummary) -> None:
    try:
        look_at_customer(news.office_id, actor=ACTOR, clock=clock)
    except Exception as error:  # noqa: BLE001 - as above
        _postpone(events, error, clock(), summary)
        return
    settle(events, EventStatus.DONE, clock(), summary)


def _postpone(events: Sequence[StripeEvent], error: Exception, now: datetime, summary: EventSummary) -> None:
    raise_if_disconnected(error)
    code = code_of_delay(error)
    if code is None:
        logger.error("event_not_understood", error=type(error))
    hopeless = code is None or isinstance(error, StripeReplyUnusable)
    later(events, code or "unexpected_error", now, summary, hopeless=hopeless)


def _conclude(pulled: Pulled, events: Sequence[StripeEvent], now: datetime, summary: EventSummary) -> None:
    summary.parked += [pulled.parked] if pulled.parked else []
    if pulled.settled:
        reach(FailPoint.EVENTS_APPLIED)
        settle(events, EventStatus.DONE, now, summary)
    else:
        later(events, pulled.code, now, summary, hopeless=pulled.hopeless)


def _put_away(stranger: Stranger, events: Iterable[StripeEvent], now: datetime, summary: EventSummary) -> None:
    if stranger is Stranger.UNKNOWN:
        quarantine(events, now, summary)
    elif stranger is Stranger.FOREIGN:
        settle(events, EventStatus.FOREIGN, now, summary, trouble=EventTrouble.OBJECT_FOREIGN)
    else:
        settle(events, EventStatus.IGNORED, now, summary)
