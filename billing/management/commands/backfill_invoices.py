"""Reconstruct past cycles from activity periods, as drafts; compare what was billed already."""

import re
from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing.billed_usage import MEANINGS, UsageDifference
from billing.invoice_backfill import MonthsReversed, backfill_invoices
from billing.management.reporting import (
    EARLIEST_YEAR,
    LATEST_YEAR,
    Problem,
    Report,
    ReportingCommand,
    UsageError,
)
from offices.locking import OfficeNotFound
from offices.models import Office

COUNTS = (
    "cycles_opened",
    "lines_added",
    "cycles_closed",
    "invoices_closed",
    "cycles_there_already",
    "not_ended",
    "not_live",
    "left_to_the_run",
    "month_locked",
    "offices_parked",
)
_WRITTEN = COUNTS[:4]


class Command(ReportingCommand):
    """`backfill_invoices --from YYYY-MM --to YYYY-MM [--office REF] [--close] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the months, the office and what becomes of the drafts."""
        parser.add_argument("--from", dest="first", metavar="YYYY-MM", required=True, help="the first month, inclusive")
        parser.add_argument("--to", dest="last", metavar="YYYY-MM", required=True, help="the last month, inclusive")
        parser.add_argument("--office", metavar="REF", help="only the office with this reference")
        parser.add_argument("--close", action="store_true", help="freeze the drafts and queue them for Stripe")

    def report(self, **options: Any) -> Report:
        """Backfill once and report counts, money and what differs."""
        try:
            with self.progress("Backfilling offices") as progress:
                summary = backfill_invoices(
                    months=(month(options["first"]), month(options["last"])),
                    actor="command:backfill_invoices",
                    now=timezone.now(),
                    office_reference=options["office"],
                    close=options["close"],
                    dry_run=options["dry_run"],
                    progress=progress,
                )
        except OfficeNotFound:
            raise UsageError(f"there is no office with the reference {options['office']!r}") from None
        except MonthsReversed as error:
            raise UsageError(str(error)) from None
        counts = {name: summary.run.tally.counts[name] for name in COUNTS}
        done = any(counts[name] for name in _WRITTEN)
        problems = [Problem(p.code, p.message, office=p.office) for p in summary.run.problems]
        parked = Office.objects.filter(reference=options["office"], parked_at__isnull=False).exists()
        if parked and not problems:
            problems = [Problem("office_parked", "look into it, then unpark_office", office=options["office"])]
        return Report(
            counts=counts,
            amounts=dict(summary.run.tally.billed),
            problems=[*problems, *map(_problem, summary.differences)],
            needs_attention=summary.run.needs_attention or parked or any(each.is_wrong for each in summary.differences),
            headline="Backfill:" if done else "Nothing was missing: all of it is already there.",
        )


def _problem(found: UsageDifference) -> Problem:
    message = f"cycle {found.cycle.key}: {found.count} {MEANINGS[found.code]}"
    return Problem(found.code, message, office=found.cycle.office.reference)


def month(text: str) -> str:
    """Read a month from the command line; raise UsageError."""
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text) or not EARLIEST_YEAR <= int(text[:4]) <= LATEST_YEAR:
        raise UsageError(f"{text!r} is not a month such as 2026-03")
    return text
