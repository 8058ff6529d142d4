"""Work through the events that Stripe has sent; the workers do the same continuously."""

from typing import Any

from django.utils import timezone

from billing import stripe_events
from billing.management.reporting import Problem, Report, ReportingCommand
from offices.models import Office

COUNTS = ("done", "ignored", "quarantined", "dead", "retry_later")


class Command(ReportingCommand):
    """`process_stripe_events [--dry-run] [--json]`."""

    help = __doc__

    def report(self, **options: Any) -> Report:
        """Drain the inbox once and report."""
        if options["dry_run"]:
            waiting = stripe_events.preview(now=timezone.now()).counts["waiting"]
            return Report(counts={"waiting": waiting})
        summary = stripe_events.process_due(clock=timezone.now)
        counts = summary.counts
        problems = [Problem("object_unknown", "gave up on events for objects we do not know")] if counts["dead"] else []
        if counts["retry_later"]:
            problems.append(Problem("retry_later", "Stripe could not be asked; the events will be tried again"))
        problems += [
            Problem("parked", "look into it, then unpark_office", office=reference)
            for reference in Office.objects.filter(pk__in=summary.parked).values_list("reference", flat=True)
        ]
        return Report(
            counts={name: counts[name] for name in COUNTS},
            problems=problems,
            needs_attention=bool(counts["dead"] or summary.parked),
            headline="Nothing waits in the inbox." if not counts else "Stripe events:",
        )
