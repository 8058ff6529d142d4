"""Fetch the events that we missed; the workers do so every hour."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing.event_replay import WindowEmpty, replay_events
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError, instant

COUNTS = (
    "seen", "new", "unreadable", "done", "ignored", "foreign", "quarantined", "dead", "distrusted", "retry_later",
    "heard", "silent",
)  # fmt: skip
DRY_COUNTS = COUNTS[:3]


class Command(ReportingCommand):
    """`replay_stripe_events [--since T] [--until T] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the window."""
        parser.add_argument("--since", metavar="T", help="the first moment, ISO 8601; by default where the last ended")
        parser.add_argument("--until", metavar="T", help="the moment after the last, ISO 8601; by default now")

    def report(self, **options: Any) -> Report:
        """Replay the window and tell what had been missed."""
        since, until = (instant(options[name]) if options[name] else None for name in ("since", "until"))
        actor, dry_run = "command:replay_stripe_events", options["dry_run"]
        try:
            summary = replay_events(since=since, until=until, actor=actor, clock=timezone.now, dry_run=dry_run)
        except WindowEmpty as error:
            raise UsageError(str(error)) from None
        counts = summary.counts
        problems = []
        if summary.cut_to_30_days:
            problems.append(Problem("older_than_30_days", "Stripe keeps events for 30 days: reconcile what is older"))
        if summary.stopped:
            problems.append(Problem(summary.stopped, "Stripe could not be asked for all of it; run it again"))
        if counts["dead"] or counts["distrusted"]:
            problems.append(Problem("events_not_understood", "look at the dead and the distrusted events"))
        return Report(
            counts={name: counts[name] for name in (DRY_COUNTS if dry_run else COUNTS)},
            problems=problems,
            needs_attention=bool(summary.cut_to_30_days or counts["dead"] or counts["distrusted"]),
            headline=f"Events of {summary.window_from.isoformat()} to {summary.window_until.isoformat()}:",
        )
