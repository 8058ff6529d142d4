"""What an operator watches, as numbers: what waits and for how long, what stands still, what the guard stopped.

Each figure is answered by an index or from a table that stays small, so that a scrape every few seconds costs nothing,
also beside millions of rows. No figure carries an id: a label is a word of ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet

from billing.models import (
    BillingCycle,
    BillingRun,
    CanaryRun,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    EventStatus,
    Incident,
    Invoice,
    InvoiceStatus,
    MessageStatus,
    OutboxMessage,
    ParkedOffice,
    ParkingCode,
    RunStatus,
    StripeEvent,
)

WAITING_MESSAGES = (MessageStatus.PENDING, MessageStatus.LEASED)
STUCK_MESSAGES = (MessageStatus.PARKED, MessageStatus.DEAD)
WAITING_EVENTS = (EventStatus.PENDING, EventStatus.QUARANTINED)
# Stripe tells of each finalized invoice within minutes; a day without any event is a webhook that does not arrive.
NEWS_EXPECTED_WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OperatingFigures:
    """Counts, and ages in seconds; an age is None when there is nothing it could be the age of."""

    messages: Mapping[str, int]
    oldest_message: float | None
    events: Mapping[str, int]
    oldest_event: float | None
    newest_event: float | None
    invoices: Mapping[str, int]
    sent_without_news: int
    cycles_overdue: int
    offices_parked: Mapping[str, int]
    discrepancies_open: Mapping[str, int]
    incidents_open: int
    requests_blocked: int
    alerts_waiting: int
    canary_age: float | None
    canary_blocked: bool | None
    run_age: float | None
    run_duration: float | None
    run_unfinished: float | None


def operating_figures(*, now: datetime) -> OperatingFigures:
    """Read all figures as of now."""
    return OperatingFigures(
        messages=_messages(),
        oldest_message=_oldest(OutboxMessage.objects.filter(status__in=WAITING_MESSAGES), "created_at", now),
        events=_events(),
        oldest_event=_oldest(StripeEvent.objects.filter(status=EventStatus.PENDING), "received_at", now),
        newest_event=_age(StripeEvent.objects.order_by("-received_at", "event_id"), "received_at", now),
        invoices=_counts(Invoice.objects, "status", (InvoiceStatus.SENT, InvoiceStatus.FAILED)),
        sent_without_news=_sent_without_news(now),
        cycles_overdue=BillingCycle.objects.filter(
            closed_at__isnull=True, end_at__lte=now, office__parked_at__isnull=True
        ).count(),
        offices_parked=_counts(ParkedOffice.objects.filter(unparked_at__isnull=True), "code", ParkingCode.values),
        discrepancies_open=_counts(
            Discrepancy.objects.filter(status=DiscrepancyStatus.OPEN), "kind", DiscrepancyKind.values
        ),
        incidents_open=Incident.objects.filter(disposed_at__isnull=True).count(),
        requests_blocked=Incident.objects.exclude(call_site="canary").count(),
        alerts_waiting=Incident.objects.filter(alerted_at__isnull=True, disposed_at__isnull=True).count(),
        **_canary(now),
        **_runs(now),
    )


def _messages() -> dict[str, int]:
    """Count what waits and what stands still; what was delivered is history and would take a scan."""
    return _counts(OutboxMessage.objects, "status", WAITING_MESSAGES) | _counts(
        OutboxMessage.objects, "status", STUCK_MESSAGES
    )


def _events() -> dict[str, int]:
    return _counts(StripeEvent.objects, "status", WAITING_EVENTS) | {
        EventStatus.DEAD.value: StripeEvent.objects.filter(status=EventStatus.DEAD).count()
    }


def _counts(rows: Any, column: str, values: Sequence[str]) -> dict[str, int]:
    """Count the rows of each value; a value that no row has counts 0, so that its series never goes missing."""
    found = rows.filter(**{f"{column}__in": values}).values_list(column).annotate(number=Count("pk")).order_by()
    return dict.fromkeys(map(str, values), 0) | {str(value): number for value, number in found}


def _sent_without_news(now: datetime) -> int:
    """Invoices that Stripe has had for a day and has never told anything about."""
    news = StripeEvent.objects.filter(object_id=OuterRef("stripe_invoice_id"))
    sent = Invoice.objects.filter(status=InvoiceStatus.SENT, sent_at__lt=now - NEWS_EXPECTED_WITHIN)
    return sent.filter(~Exists(news)).count()


def _canary(now: datetime) -> dict[str, Any]:
    last = CanaryRun.objects.order_by("-at").first()
    return {
        "canary_age": None if last is None else (now - last.at).total_seconds(),
        "canary_blocked": None if last is None else last.blocked,
    }


def _runs(now: datetime) -> dict[str, Any]:
    """The last run that ended, and how long one that has not ended is under way (or was killed)."""
    runs = BillingRun.objects.order_by("-started_at")
    ended = runs.filter(finished_at__isnull=False).first()
    latest = runs.first()
    under_way = latest if latest is not None and latest.status == RunStatus.RUNNING else None
    return {
        "run_age": None if ended is None or ended.finished_at is None else _seconds(ended.finished_at, now),
        "run_duration": (
            None if ended is None or ended.finished_at is None else _seconds(ended.started_at, ended.finished_at)
        ),
        "run_unfinished": None if under_way is None else _seconds(under_way.started_at, now),
    }


def _oldest(rows: QuerySet[Any], column: str, now: datetime) -> float | None:
    return _age(rows.order_by(column), column, now)


def _age(ordered: QuerySet[Any], column: str, now: datetime) -> float | None:
    at = ordered.values_list(column, flat=True).first()
    return None if at is None else _seconds(at, now)


def _seconds(since: datetime, until: datetime) -> float:
    return max((until - since).total_seconds(), 0.0)
