"""Rebuild books from the audit log: show an office's as of an instant, or what the tables hold otherwise."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError, instant
from billing.rebuilt_books.check import OfficeFinding, books_at, check_books
from offices.locking import OfficeNotFound

LARGEST_LIST = 100  # differences printed; their number is always told


class Command(ReportingCommand):
    """`rebuild_books [--office REF] [--at T] [--json]`."""

    help = __doc__
    writes = False

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the office and the instant."""
        parser.add_argument("--office", metavar="REF", help="only the office with this reference")
        parser.add_argument("--at", metavar="T", help="show the office's books as of this instant, compare nothing")

    def report(self, **options: Any) -> Report:
        """Show the state at an instant, or compare now."""
        if options["at"] is not None and options["office"] is None:
            raise UsageError("--at shows the books of one office: name it with --office")
        try:
            if options["at"] is not None:
                return _state(options["office"], instant(options["at"]))
            with self.progress("Rebuilding books") as progress:
                check = check_books(office_reference=options["office"], progress=progress)
        except OfficeNotFound:
            raise UsageError(f"there is no office with the reference {options['office']!r}") from None
        return Report(
            counts={name: check.counts[name] for name in ("offices", "cycles", "invoices", "differences")},
            problems=[_problem(found) for found in check.findings[:LARGEST_LIST]],
            needs_attention=bool(check.findings),
            headline="The tables differ from the log." if check.findings else "The tables are what the log tells.",
        )


def _state(reference: str, at: datetime) -> Report:
    books = books_at(office_reference=reference, at=at)
    state = asdict(books)
    for name in ("statuses", "zones", "plans"):
        state[name] = {since.isoformat(): held for since, held in state[name].items()}
    counts = {
        "periods": books.periods,
        "cycles": len(books.cycles),
        "cycles_closed": sum(cycle.closed_at is not None for cycle in books.cycles.values()),
        "invoices": len(books.invoices),
    }
    text = json.dumps(state, default=_as_text, sort_keys=True)
    return Report(counts=counts, headline="The books as the log tells them:", extra={"state": text})


def _as_text(value: date | datetime) -> str:
    return value.isoformat()


def _problem(found: OfficeFinding) -> Problem:
    kind, _, name = found.finding.subject.partition(":")
    sides = f"log: {found.finding.log or 'nothing'}; tables: {found.finding.tables or 'nothing'}"
    message = f"cycle {name}: {sides}" if kind == "cycle" else sides
    invoice = name if kind == "invoice" else None
    return Problem(found.finding.code, message, office=found.office.reference, invoice=invoice)
