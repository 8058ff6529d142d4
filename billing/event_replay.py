"""Fill the gaps that lost webhooks leave: list the events of a window again and put them into the same inbox.

Stripe tries a webhook for three days and keeps its events for 30; what is older only reconciliation can find.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from django.db import transaction

from audit.chain import Fact, record
from billing import expectations, stripe_events
from billing.models import EventReplay, StripeEvent
from billing.silence import notice_silence
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundPage
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound_reads import ListEvents, Window
from billing.stripe_gateway.outbound_values import StripeId, UnixTime
from billing.stripe_gateway.replies import StripeReplyUnusable, StripeUnavailable
from billing.stripe_gateway.webhook import EventEnvelope
from billing.stripe_objects import is_news

logger = structlog.get_logger(__name__)

Clock = Callable[[], datetime]

# https://docs.stripe.com/api/events: "guaranteed only for 30 days".
KEPT = timedelta(days=30)
# Windows overlap: Stripe's clock and ours may differ, and an event may be listed a little after its `created`.
OVERLAP = timedelta(hours=1)
# Where no window was ever looked through: as long as Stripe itself tries to deliver a webhook.
FIRST_WINDOW = timedelta(days=3)


class WindowEmpty(ValueError):
    """The window ends before it begins, or is older than all that Stripe keeps."""


@dataclass(slots=True)
class ReplaySummary:
    """What a replay did: counts by name, the window, and why it stopped early (empty when it did not)."""

    window_from: datetime
    window_until: datetime
    cut_to_30_days: bool = False
    stopped: str = ""
    counts: Counter[str] = field(default_factory=Counter)


def replay_events(
    *, since: datetime | None, until: datetime | None = None, actor: str, clock: Clock, dry_run: bool = False
) -> ReplaySummary:
    """Put the events made in [since, until) into the inbox, work through it, and notice what stays silent.

    Without `since` it goes on where the last whole replay ended. A dry run only lists and counts. Raises WindowEmpty.
    """
    now = clock()
    summary = _window(since or _where_the_last_ended(now), until or now, now)
    replay = EventReplay.objects.create(
        window_from=summary.window_from, window_until=summary.window_until, actor=actor, dry_run=dry_run, started_at=now
    )
    try:
        for page in _pages(summary):
            _take(page, replay, now=clock())
    except (StripeUnavailable, StripeReplyUnusable) as error:
        # The row stays unfinished, so the next replay begins at the same moment.
        summary.stopped = error.code
    _finish(replay, finished=not summary.stopped, actor=actor, now=clock())
    summary.counts.update(seen=replay.events_seen, new=replay.events_new, unreadable=replay.events_unreadable)
    if not dry_run:
        summary.counts.update(stripe_events.process_due(clock=clock).counts)
        summary.counts.update(notice_silence(clock=clock).counts)
    return summary


def _where_the_last_ended(now: datetime) -> datetime:
    """Return where to go on: up to there the windows of whole replays touch, so that none leaves a gap behind it."""
    whole = EventReplay.objects.filter(finished_at__isnull=False, dry_run=False, window_until__lte=now)
    ended: datetime | None = None
    for window_from, window_until in (
        whole.filter(window_until__gt=now - KEPT).order_by("window_from").values_list("window_from", "window_until")
    ):
        if ended is None or window_from <= ended:
            ended = window_until if ended is None else max(ended, window_until)
    return ended - OVERLAP if ended else now - FIRST_WINDOW


def _window(since: datetime, until: datetime, now: datetime) -> ReplaySummary:
    """Cut the window to whole seconds and to what Stripe keeps; raise WindowEmpty."""
    oldest = now - KEPT
    # A minute in hand, so that the oldest second is still kept when Stripe reads it.
    start, cut = (oldest + timedelta(minutes=1), True) if since < oldest else (since, False)
    start, end = start.replace(microsecond=0), min(until, now).replace(microsecond=0)
    if start >= end:
        raise WindowEmpty("the window holds no second that Stripe still knows events of")
    return ReplaySummary(start, end, cut_to_30_days=cut)


def _pages(summary: ReplaySummary) -> Iterable[InboundPage[EventEnvelope]]:
    start, end = (int(moment.astimezone(UTC).timestamp()) for moment in (summary.window_from, summary.window_until))
    window, after = Window(UnixTime(start), UnixTime(end)), None
    while True:
        expectation = expectations.created_within(Operation.LIST_EVENTS, start, end, after)
        page = call_stripe(ListEvents(window, StripeId(after) if after else None), expectation=expectation)
        yield page
        if page.next_after is None:
            return
        after = str(page.next_after)


def _take(page: InboundPage[EventEnvelope], replay: EventReplay, *, now: datetime) -> None:
    """Put a page into the inbox by the webhook's own insert, so that the same id is never there twice."""
    news = [envelope for envelope in page.items if is_news(envelope.type)]
    ids = {envelope.event_id for envelope in news}
    known = set(StripeEvent.objects.filter(pk__in=ids).values_list("pk", flat=True))
    replay.events_seen += len(ids)
    replay.events_new += len(ids - known)
    replay.events_unreadable += len(page.unreadable)
    if page.next_after is not None:
        # Written down before the next page is asked for.
        replay.page_ends += f"{'' if replay.page_ends else ' '}{page.next_after} "
        replay.save(update_fields=["page_ends"])
    if not replay.dry_run:
        for envelope in news:
            stripe_events.receive(envelope, now=now)


def _finish(replay: EventReplay, *, finished: bool, actor: str, now: datetime) -> None:
    replay.finished_at = now if finished else None
    with transaction.atomic():
        replay.save(update_fields=["finished_at", "events_seen", "events_new", "events_unreadable"])
        if replay.events_new and not replay.dry_run:
            payload = {"replay": replay.pk, "new": replay.events_new}
            record(Fact(stripe_events.EVENT_STREAM, "events.replayed", payload), actor=actor, now=now)
    if replay.events_new and not replay.dry_run:
        logger.warning("events_were_missed", count=replay.events_new)
