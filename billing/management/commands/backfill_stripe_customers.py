"""Adopt the customer of each office at Stripe, or queue a new one; `deliver_outbox` or the workers make those."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing.customer_backfill import CustomerProblem, backfill_customers
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from billing.stripe_gateway.replies import StripeRefused, StripeReplyUnusable, StripeUnavailable
from offices.locking import OfficeNotFound
from offices.models import Office

COUNTS = ("there_already", "adopted", "queued", "queued_already", "profiles_queued", "not_live", "offices_parked")
_WRITTEN = ("adopted", "queued", "profiles_queued", "offices_parked")


class Command(ReportingCommand):
    """`backfill_stripe_customers [--office REF] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the choice of one office."""
        parser.add_argument("--office", metavar="REF", help="only the office with this reference")

    def report(self, **options: Any) -> Report:
        """Look at Stripe once and report what came of it."""
        try:
            with self.progress("Looking for customers") as progress:
                summary = backfill_customers(
                    actor="command:backfill_stripe_customers",
                    now=timezone.now(),
                    office_reference=options["office"],
                    dry_run=options["dry_run"],
                    progress=progress,
                )
        except OfficeNotFound:
            raise UsageError(f"there is no office with the reference {options['office']!r}") from None
        except (StripeUnavailable, StripeReplyUnusable, StripeRefused) as error:
            message = "Stripe could not be asked; what was done stands, run it again for the rest"
            return Report(problems=[Problem(error.code, message)], needs_attention=True, headline="Not finished.")
        if (
            Office.objects.filter(reference=options["office"], parked_at__isnull=False).exists()
            and not summary.problems
        ):
            parked = CustomerProblem(options["office"], "office_parked", "look into it, then unpark_office")
            summary.problems.append(parked)
        counts = {name: summary.counts[name] for name in COUNTS}
        return Report(
            counts=counts,
            problems=[Problem(p.code, p.message, office=p.office) for p in summary.problems],
            needs_attention=bool(summary.problems),
            headline=_headline(counts),
        )


def _headline(counts: dict[str, int]) -> str:
    if not any(counts[name] for name in _WRITTEN):
        return "Nothing changed: every office that needs a customer has one, or one is queued."
    return "Customers (the outbox makes those that are queued):"
