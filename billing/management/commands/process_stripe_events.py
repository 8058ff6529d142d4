"""Work through the events that Stripe has sent; the workers do the same continuously."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing import stripe_events
from billing.management.reporting import Problem, Report, ReportingCommand
from offices.models import Office

COUNTS = ("done", "ignored", "foreign", "quarantined", "dead", "distrusted", "retry_later")
ACTOR = "command:process_stripe_events"


class Command(ReportingCommand):
    """`process_stripe_events [--retry-dead] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the option for what was given up."""
        parser.add_argument("--retry-dead", action="store_true", help="give what was given up all its tries again")

    def report(self, **options: Any) -> Report:
        """Drain the inbox once and report."""
        if options["dry_run"]:
            preview = stripe_events.preview(now=timezone.now(), retry_dead=options["retry_dead"])
            return Report(counts={"waiting": preview.counts["waiting"]})
        asks = ACTOR if options["retry_dead"] else None
        summary = stripe_events.process_due(clock=timezone.now, retry_dead_for=asks)
        counts = summary.counts
        problems = []
        if counts["dead"]:
            problems.append(Problem("object_unknown", "gave up on events; look at them, then --retry-dead"))
        if counts["distrusted"]:
            problems.append(Problem("other_mode", "events of the other mode than our key's: endpoint or key is wrong"))
        if counts["retry_later"]:
            problems.append(Problem("retry_later", "Stripe could not be asked; the events will be tried again"))
        problems += [
            Problem("parked", "look into it, then unpark_office", office=reference)
            for reference in Office.objects.filter(pk__in=summary.parked).values_list("reference", flat=True)
        ]
        return Report(
            counts={name: counts[name] for name in COUNTS},
            problems=problems,
            needs_attention=bool(counts["dead"] or counts["distrusted"] or summary.parked),
            headline="Nothing waits in the inbox." if not counts else "Stripe events:",
        )
