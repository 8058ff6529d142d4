"""Send what waits in the outbox to Stripe; the workers do the same continuously."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing import delivery
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError

COUNTS = (
    "taken",
    "delivered",
    "customers_delivered",
    "invoices_delivered",
    "profiles_delivered",
    "corrections_delivered",
    "retry_later",
    "parked",
    "superseded",
    "lease_lost",
)


class Command(ReportingCommand):
    """`deliver_outbox [--limit N] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add how many messages to take at most."""
        parser.add_argument("--limit", type=int, metavar="N", help="take at most N messages (default: all that wait)")

    def report(self, **options: Any) -> Report:
        """Drain the outbox once and report."""
        if options["limit"] is not None and options["limit"] < 1:
            raise UsageError("--limit takes a number from 1 on")
        if options["dry_run"]:
            summary = delivery.preview(clock=timezone.now)
        else:
            summary = delivery.deliver_due(clock=timezone.now, limit=options["limit"])
        problems = [
            Problem(
                trouble.code,
                "parked; look into it, then unpark_office"
                if trouble.parked
                else "not delivered now; will be tried again",
                office=trouble.office,
            )
            for trouble in summary.troubles
        ]
        if summary.stands_still:
            problems.append(Problem("books_rolled_back", "a backup was restored: note_restore, then deliver"))
        parked = any(trouble.parked for trouble in summary.troubles)
        return Report(
            counts={name: summary.counts[name] for name in COUNTS},
            problems=problems,
            needs_attention=summary.not_authorized or summary.stands_still or parked,
            headline="Nothing waits to be delivered." if not summary.counts["taken"] else "Delivery:",
        )
