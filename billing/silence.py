"""Silence is news too: each write says what Stripe should tell us by when, and what stays silent is fetched.

What arrived by any way, webhook or replay, stands in the inbox, so that alone says what was heard: the webhook keeps
its one insert.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from billing.careful_pull import pull_carefully
from billing.models import ExpectedEvent, StripeEvent
from billing.stripe_gateway.operation import Operation

logger = structlog.get_logger(__name__)

ACTOR = "system:silence"
BATCH = 500
# How long a silence that was pulled counts as recent.
RECENT = timedelta(days=1)

Clock = Callable[[], datetime]


@dataclass(slots=True)
class SilenceSummary:
    """What was heard, and what was not and therefore pulled."""

    counts: Counter[str] = field(default_factory=Counter)
    parked: list[UUID] = field(default_factory=list)


def notice_silence(*, clock: Clock) -> SilenceSummary:
    """Note what was heard, and pull each invoice of which Stripe said nothing by its time; safe to run twice."""
    summary = SilenceSummary(Counter(heard=_mark_heard()))
    overdue = overdue_at(clock()).select_related("step__message").order_by("expected_by")[:BATCH]
    of_invoice: dict[UUID, list[ExpectedEvent]] = defaultdict(list)
    for expected in overdue:
        if expected.step.message.invoice_id is not None:
            of_invoice[expected.step.message.invoice_id].append(expected)
    for invoice_id, rows in of_invoice.items():
        _pull(invoice_id, rows, clock, summary)
    return summary


def overdue_at(now: datetime) -> QuerySet[ExpectedEvent]:
    """Return what Stripe should have told by now and did not, and nobody has fetched yet."""
    return ExpectedEvent.objects.filter(heard_at__isnull=True, pulled_at__isnull=True, expected_by__lte=now)


def silence_counts(*, now: datetime) -> dict[str, int]:
    """Count the silence for the console and the metrics: still overdue, and pulled within the last day."""
    pulled = ExpectedEvent.objects.filter(heard_at__isnull=True, pulled_at__gt=now - RECENT)
    return {"overdue": overdue_at(now).count(), "pulled": pulled.count()}


def _mark_heard() -> int:
    """Take from the inbox when each expected event came, also one that came before our own commit."""
    news = StripeEvent.objects.filter(
        object_id=OuterRef("stripe_object_id"), event_type=OuterRef("event_type")
    ).order_by("received_at")
    waiting = ExpectedEvent.objects.filter(Exists(news), heard_at__isnull=True, pulled_at__isnull=True)
    return waiting.update(heard_at=Subquery(news.values("received_at")[:1]))


def _pull(invoice_id: UUID, rows: Sequence[ExpectedEvent], clock: Clock, summary: SilenceSummary) -> None:
    logger.warning("stripe_was_silent", count=len(rows))
    of_credit = any(row.step.operation == Operation.CREATE_CREDIT_NOTE for row in rows)
    pulled = pull_carefully(invoice_id, actor=ACTOR, clock=clock, money_back=of_credit)
    summary.parked += [pulled.parked] if pulled.parked else []
    if pulled.settled or pulled.parked:
        ExpectedEvent.objects.filter(pk__in=[row.pk for row in rows]).update(pulled_at=clock())
        summary.counts["silent"] += len(rows)
    else:
        summary.counts["silent_retry_later"] += len(rows)
