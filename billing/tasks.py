"""What the workers do: each task makes one idempotent call, and carries no data.

The rows are the queue; a task that is lost or runs twice changes nothing (reliability.md, "Celery").
"""

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from audit.checkpoints import make_checkpoint
from billing import alerts, corrections, delivery, event_replay, silence, stripe_events
from billing.billing_run import resume_run, run_asked, run_due
from billing.canary import run_canary as try_canary
from billing.idempotent_answers import purge_answers
from billing.rebuilt_books.check import keep_findings
from billing.reconciliation import asked
from billing.reconciliation.run import reconcile
from billing.wake_up import Bell, hang

logger = structlog.get_logger(__name__)

# A cardholder may dispute a payment for 120 days: until then what Stripe says of an invoice may change any night.
RECENT = timedelta(days=120)
LONGEST_DRAIN = timedelta(minutes=10)  # far below the worker's time limit: a task that is killed helps nobody
# A run that found no database left no row to resume it by; the sweeps come again anyway.
DATABASE_GONE = (OperationalError, InterfaceError)


@shared_task(autoretry_for=DATABASE_GONE, retry_kwargs={"countdown": 10, "max_retries": 5})
def run_billing() -> None:
    """Close and open every cycle that is due."""
    now = timezone.now()
    run_due(as_of=now, actor="system:beat", now=now)
    checkpoint_audit()


@shared_task
def run_asked_billing() -> None:
    """Begin the run that staff asked for."""
    if run_asked(now=timezone.now()) is not None:
        checkpoint_audit()


@shared_task
def resume_billing() -> None:
    """Go on with a run that was cut off, or that nobody has begun."""
    if resume_run(actor="system:beat", now=timezone.now()) is not None:
        checkpoint_audit()


@shared_task
def deliver_outbox() -> None:
    """Send what waits, for a while: the sweep goes on where this one ends."""
    delivery.deliver_due(clock=timezone.now, until=timezone.now() + LONGEST_DRAIN)


@shared_task
def expire_corrections() -> None:
    """End the corrections that nobody decided in time."""
    corrections.expire_corrections(actor="system:beat", now=timezone.now())


@shared_task
def process_stripe_events() -> None:
    """Work through what Stripe sent."""
    stripe_events.process_due(clock=timezone.now)


@shared_task
def rebuild_books() -> None:
    """Rebuild all books from the log and keep what was changed by hand."""
    keep_findings(actor="system:beat", now=timezone.now())


@shared_task
def replay_stripe_events() -> None:
    """Ask again for the events since the last whole replay, in case a webhook was lost."""
    event_replay.replay_events(since=None, actor="system:beat", clock=timezone.now)


@shared_task
def notice_silence() -> None:
    """Fetch what Stripe should have told us about by now."""
    silence.notice_silence(clock=timezone.now)


@shared_task
def send_alerts() -> None:
    """Tell somebody about the incidents of which nobody was told."""
    alerts.send_alerts(now=timezone.now())


@shared_task
def run_canary() -> None:
    """Try a synthetic leak; if it is not blocked, the alert goes out at once."""
    now = timezone.now()
    try_canary(actor="system:beat", now=now)
    alerts.send_alerts(now=now)


@shared_task
def checkpoint_audit() -> None:
    """Seal what the audit trail has gained; what cannot be sealed is an incident, told by the log each time."""
    refused = make_checkpoint(now=timezone.now()).refused
    if refused:
        logger.error("audit_not_sealed", count=len(refused))


@shared_task
def purge_api_answers() -> None:
    """Forget the answers to API calls that nobody repeats any more."""
    purge_answers(now=timezone.now())


@shared_task
def reconcile_recent() -> None:
    """Compare what was closed lately with Stripe, and take what Stripe decided."""
    reconcile(actor="system:beat", clock=timezone.now, recent=RECENT, repair=True)


@shared_task
def reconcile_all() -> None:
    """Compare everything with Stripe, and take what Stripe decided."""
    reconcile(actor="system:beat", clock=timezone.now, repair=True)


@shared_task
def compare_asked() -> None:
    """Go on with the comparisons that staff asked for."""
    asked.go_on(clock=timezone.now, until=timezone.now() + LONGEST_DRAIN)


def hang_bells() -> None:
    """Let use cases ring the workers; without a broker there are none, and `deliver_outbox` drains what waits."""
    if settings.CELERY_BROKER_URL:
        hang(Bell.OUTBOX, deliver_outbox.delay)
        hang(Bell.STRIPE_EVENTS, process_stripe_events.delay)
        hang(Bell.COMPARISONS, compare_asked.delay)
        hang(Bell.RUNS, run_asked_billing.delay)
