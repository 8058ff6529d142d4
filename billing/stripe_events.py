"""Stripe to inbox to payment status: an event only says which object to fetch (architecture.md).

Events repeat, reorder and tie within a second, so the present state is always fetched, and applied only over the
version that was read before asking.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.db import Error as DatabaseFailure
from django.db import connection, transaction
from django.db.models import QuerySet

from billing.customers import CUSTOMER_CONTEXT
from billing.fail_points import FailPoint, reach
from billing.incidents import record_incident
from billing.invoice_pull import pull_invoice
from billing.models import EventStatus, Invoice, ParkingCode, StripeEvent
from billing.parking import park_office
from billing.payment_status import InvoiceDiffers, VersionChanged
from billing.stripe_gateway.refusal import OutboundRefused
from billing.stripe_gateway.replies import StripeRefused, StripeReplyUnusable, StripeUnavailable
from billing.stripe_gateway.webhook import EventEnvelope
from billing.wake_up import Bell, ring_after_commit
from offices.encryption import blind_index
from offices.locking import OfficeBusy

logger = structlog.get_logger(__name__)

ACTOR = "system:stripe_events"
BATCH = 100
# Our own commit may be behind Stripe's event, and events may come days late: with the back-off below, about five days.
QUARANTINE_TRIES = 30
FIRST_BACK_OFF, LONGEST_BACK_OFF = timedelta(seconds=15), timedelta(hours=6)
_WAITING = (EventStatus.PENDING, EventStatus.QUARANTINED)


@dataclass(slots=True)
class EventSummary:
    """What a drain of the inbox did, in counts."""

    counts: Counter[str] = field(default_factory=Counter)
    parked: list[UUID] = field(default_factory=list)


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


def process_due(*, clock: Callable[[], datetime]) -> EventSummary:
    """Work through the events that are due: one fetch for all events of the same object; safe to run at once."""
    summary = EventSummary()
    while claimed := _claim(clock()):
        by_object: dict[str, list[StripeEvent]] = defaultdict(list)
        for event in claimed:
            by_object[event.object_id].append(event)
        for object_id, events in by_object.items():
            _process(object_id, events, clock, summary)
    return summary


def preview(*, now: datetime) -> EventSummary:
    """Count what waits, without claiming and without a request (`--dry-run`)."""
    return EventSummary(Counter(waiting=_due(now).count()))


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


def _process(
    object_id: str, events: Sequence[StripeEvent], clock: Callable[[], datetime], summary: EventSummary
) -> None:
    if not object_id.startswith("in_"):
        # Charges, refunds, disputes and customers become rows with the reconciliation; the events are kept for it.
        _settle(events, EventStatus.IGNORED, clock(), summary)
        return
    invoice = (
        Invoice.objects.filter(stripe_invoice_id=object_id)
        .only("pk", "office_id", "version", "stripe_invoice_id")
        .first()
    )
    if invoice is None:
        _quarantine(events, clock(), summary)
        return
    try:
        pull_invoice(invoice, actor=ACTOR, clock=clock)
    except (StripeUnavailable, StripeReplyUnusable, OfficeBusy, VersionChanged) as error:
        _note(events, getattr(error, "code", type(error).__name__), summary)
        return
    except Exception as error:  # noqa: BLE001 - one odd object must not hold up the news of all the others
        _raise_if_disconnected(error)
        _stop(invoice, events, error, clock(), summary)
        return
    reach(FailPoint.EVENTS_APPLIED)
    _settle(events, EventStatus.DONE, clock(), summary)


def _stop(
    invoice: Invoice, events: Sequence[StripeEvent], error: Exception, now: datetime, summary: EventSummary
) -> None:
    """Park the office; what differs at Stripe is known now, anything else is tried again after a person looked."""
    try:
        _park(invoice, error, now)
    except OfficeBusy:
        _note(events, "office_busy", summary)
        return
    summary.parked.append(invoice.office_id)
    if isinstance(error, InvoiceDiffers | StripeRefused):
        _settle(events, EventStatus.DONE, now, summary)
    else:
        _note(events, ParkingCode.UNEXPECTED_ERROR, summary)


def _park(invoice: Invoice, error: Exception, now: datetime) -> None:
    differs = isinstance(error, InvoiceDiffers | StripeRefused)
    code = ParkingCode.STRIPE_OBJECT_UNEXPECTED if differs else ParkingCode.UNEXPECTED_ERROR
    with transaction.atomic():
        if isinstance(error, OutboundRefused):
            record_incident(error.refusal, call_site="stripe_events", actor=ACTOR, now=now, office_id=invoice.office_id)
        incident = park_office(office_id=invoice.office_id, code=code, actor=ACTOR, now=now)
    logger.error("event_parked_its_office", incident=incident, error=type(error))


def _raise_if_disconnected(error: Exception) -> None:
    """A lost connection to the database is nobody's fault: stop, and let the next drain go on."""
    if isinstance(error, DatabaseFailure) and not connection.is_usable():
        raise error


def _settle(events: Iterable[StripeEvent], status: EventStatus, now: datetime, summary: EventSummary) -> None:
    ids = [event.pk for event in events]
    StripeEvent.objects.filter(pk__in=ids).update(status=status, processed_at=now, error_code="")
    summary.counts[status] += len(ids)


def _quarantine(events: Iterable[StripeEvent], now: datetime, summary: EventSummary) -> None:
    """The object is not ours, or our own commit is behind: try again for a while, then keep it as dead."""
    for event in events:
        dead = event.attempts >= QUARANTINE_TRIES
        status = EventStatus.DEAD if dead else EventStatus.QUARANTINED
        StripeEvent.objects.filter(pk=event.pk).update(
            status=status, error_code="object_unknown", processed_at=now if dead else None
        )
        summary.counts[status] += 1


def _note(events: Iterable[StripeEvent], code: str, summary: EventSummary) -> None:
    ids = [event.pk for event in events]
    StripeEvent.objects.filter(pk__in=ids).update(error_code=code)
    summary.counts["retry_later"] += len(ids)
