"""Compare our books with Stripe's and with who was active; list what differs, or repair what Stripe decided."""

import re
from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from billing.reconciliation.run import Summary, reconcile
from offices.locking import OfficeNotFound

_MONTH = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")
_STOPPED = {
    "stripe_unreachable": "Stripe cannot be reached; run it again, it goes on where it stopped",
    "run_overtaken": "another run of the same is at work and goes on with it",
    "stripe_refused": "Stripe refused to answer; look at the key and its permissions",
    "stripe_reply_unusable": "Stripe's answer could not be read; it goes on where it stopped",
}
# Nothing for a person to do: it is tried again, or somebody else is at it.
_HARMLESS = frozenset({"stripe_unreachable", "run_overtaken"})


class Command(ReportingCommand):
    """`reconcile_stripe [--cycle YYYY-MM] [--office REF] [--repair] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add what to look at, and whether to repair."""
        parser.add_argument("--cycle", default="", help="only this month, such as 2026-03; default: all")
        parser.add_argument("--office", help="only the office with this reference")
        parser.add_argument("--repair", action="store_true", help="take what Stripe decided; all else waits for staff")

    def report(self, **options: Any) -> Report:
        """Reconcile once and report."""
        if options["cycle"] and not _MONTH.fullmatch(options["cycle"]):
            raise UsageError(f"{options['cycle']!r} is not a month such as 2026-03")
        with self.progress("comparing with Stripe") as progress:
            try:
                summary = reconcile(
                    actor="command:reconcile_stripe",
                    clock=timezone.now,
                    cycle_key=options["cycle"],
                    office_reference=options["office"],
                    repair=options["repair"],
                    dry_run=options["dry_run"],
                    progress=progress,
                )
            except OfficeNotFound as error:
                raise UsageError(str(error)) from None
        return _report(summary)


def _report(summary: Summary) -> Report:
    problems = [Problem(kind, f"{number:,} found") for kind, number in sorted(summary.kinds.items())]
    if summary.stopped:
        problems.append(Problem(summary.stopped, _STOPPED[summary.stopped]))
    problems += [
        Problem("not_repaired", f"{number:,} left as they are: {code}")
        for code, number in sorted(summary.repaired.left.items())
        if number
    ]
    return Report(
        counts={
            "invoices_compared": summary.run.invoices_seen,
            "found": sum(summary.kinds.values()),
            "new": summary.opened,
            "gone": summary.gone,
            "to_pull": summary.proposals["pull"],
            "invoices_pulled": summary.repaired.pulled,
            "repaired": summary.repaired.ended,
            "open": summary.open,
        },
        problems=problems,
        needs_attention=bool(summary.open) or bool(summary.stopped and summary.stopped not in _HARMLESS),
        headline="Nothing differs." if not summary.open and not summary.stopped else "Our books and Stripe's:",
    )
