"""Close and open every billing cycle that is due; catches up missed ones in order."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from audit.checkpoints import make_checkpoint
from billing.billing_run import run_due
from billing.management.audit_problems import as_problems
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError, instant
from billing.office_run import COUNTS
from billing.office_run import Problem as RunProblem
from offices.locking import OfficeNotFound
from offices.models import Office


class Command(ReportingCommand):
    """`run_billing_cycle [--as-of T] [--office REF] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add what is due when, and for whom."""
        parser.add_argument("--as-of", metavar="T", help="decide what is due at this instant (default: now)")
        parser.add_argument("--office", metavar="REF", help="only the office with this reference")

    def report(self, **options: Any) -> Report:
        """Run once and report counts and money."""
        now = timezone.now()
        try:
            with self.progress("Billing offices") as progress:
                summary = run_due(
                    as_of=instant(options["as_of"]) if options["as_of"] is not None else now,
                    actor="command:run_billing_cycle",
                    now=now,
                    office_reference=options["office"],
                    dry_run=options["dry_run"],
                    progress=progress,
                )
        except OfficeNotFound:
            raise UsageError(f"there is no office with the reference {options['office']!r}") from None
        # What was billed is sealed at once; where no worker runs, this is the beat of the checkpoints.
        refused = make_checkpoint(now=timezone.now(), dry_run=options["dry_run"]).refused
        counts = {name: summary.tally.counts[name] for name in COUNTS}
        parked = Office.objects.filter(reference=options["office"], parked_at__isnull=False).exists()
        if parked and not summary.problems:
            summary.problems.append(RunProblem(options["office"], "office_parked", "look into it, then unpark_office"))
            summary.needs_attention = True
        idle = not summary.problems and not any(value for name, value in counts.items() if name != "already_done")
        return Report(
            counts=counts,
            amounts=dict(summary.tally.billed),
            problems=[Problem(p.code, p.message, office=p.office) for p in summary.problems] + as_problems(refused),
            needs_attention=summary.needs_attention or bool(refused),
            headline="Nothing was due: all of it is already done." if idle else "Billing run:",
        )
