"""What every command of ours has in common: `--json`, `--dry-run`, honest exit codes, progress on a terminal.

Exit 0: done. Exit 1: something needs attention (parked, dead, rejected, bad rows). Exit 2: wrong arguments, header
or missing file (decisions.md 25 and 26).
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rich.console import Console
from rich.progress import Progress

from billing.money import to_text
from offices.locking import OfficeBusy

EXIT_DONE, EXIT_ATTENTION, EXIT_USAGE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of what needs attention; names where (row, office or invoice), never a value."""

    code: str
    message: str
    row: int | None = None
    office: str | None = None
    invoice: str | None = None
    field: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the parts that are set."""
        parts = {name: getattr(self, name) for name in ("row", "office", "invoice", "field", "code", "message")}
        return {name: value for name, value in parts.items() if value not in {None, ""}}

    def as_line(self) -> str:
        """Return the problem as a line for people."""
        where = [f"{name} {value}" for name, value in self.as_json().items() if name not in {"code", "message"}]
        return f"{', '.join([*where, self.code])}: {self.message}"


@dataclass(slots=True)
class Report:
    """What a command did: counts by name, cents by currency, problems; `needs_attention` makes the exit code 1.

    `extra` is for what only one command tells: more members of the JSON object, more lines for people.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    amounts: Mapping[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    needs_attention: bool = False
    headline: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


EARLIEST_YEAR, LATEST_YEAR = 2000, 2199  # beyond them it is a slip of the finger, and dates overflow


class UsageError(CommandError):
    """Wrong arguments, a wrong header, a missing file: nothing was done."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=EXIT_USAGE)


class ReportingCommand(BaseCommand):
    """A command that makes one call and reports what came of it. Subclasses implement `add_own_arguments`, `report`."""

    writes = True  # a command that writes takes --dry-run

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the common options, then the command's own."""
        parser.add_argument("--json", action="store_true", help="print one JSON object for machines")
        if self.writes:
            parser.add_argument("--dry-run", action="store_true", help="do the same, write nothing, send nothing")
        self.add_own_arguments(parser)

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of this command."""

    def report(self, **options: Any) -> Report:
        """Make the one call and tell what came of it; raise UsageError when the arguments are wrong."""
        raise NotImplementedError

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run, print, and exit with what the report says."""
        name = type(self).__module__.rpartition(".")[2]
        dry_run = bool(options.get("dry_run"))
        try:
            report = self.report(**options)
        except (OfficeBusy, OperationalError) as error:
            code = "office_busy" if isinstance(error, OfficeBusy) else "database_unavailable"
            report = Report(problems=[Problem(code, "nothing was done; try again")], needs_attention=True)
        except UsageError as error:
            if options["json"]:
                self._print_json(
                    name, Report(problems=[Problem("usage", str(error))], needs_attention=True), dry_run=dry_run
                )
            raise
        if options["json"]:
            self._print_json(name, report, dry_run=dry_run)
        else:
            self._print_lines(report, dry_run=dry_run)
        if report.needs_attention:
            sys.exit(EXIT_ATTENTION)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show `what` with a bar on a terminal's stderr; stay quiet in a pipe."""
        console = Console(stderr=True)
        if not console.is_terminal:
            yield lambda _done, _total: None
            return
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _print_json(self, name: str, report: Report, *, dry_run: bool) -> None:
        self.stdout.write(
            json.dumps(
                {
                    "command": name,
                    "ok": not report.needs_attention,
                    "dry_run": dry_run,
                    "counts": dict(report.counts),
                    "amounts": dict(report.amounts),
                    "problems": [problem.as_json() for problem in report.problems],
                    **report.extra,
                }
            )
        )

    def _print_lines(self, report: Report, *, dry_run: bool) -> None:
        if dry_run:
            self.stdout.write("Dry run: nothing was written, nothing was sent. It would have been:")
        if report.headline:
            self.stdout.write(report.headline)
        for value in report.extra.values():
            self.stdout.write(value)
        for name, count in report.counts.items():
            self.stdout.write(f"  {name.replace('_', ' ')}: {count:,}")
        for currency, cents in report.amounts.items():
            self.stdout.write(f"  {currency}: {to_text(cents)}")
        for problem in report.problems:
            self.stdout.write(f"  ! {problem.as_line()}")


def instant(text: str) -> datetime:
    """Read an instant with its zone from the command line; raise UsageError."""
    try:
        parsed = parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None or timezone.is_naive(parsed) or not EARLIEST_YEAR <= parsed.year <= LATEST_YEAR:
        raise UsageError(f"{text!r} is not an ISO 8601 time with zone, such as 2026-03-01T00:00:00Z")
    return parsed
