"""What the two import commands have in common: the file, how problems of rows are told, and the exit code."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from offices.csv_rows import FileUnusable
from offices.import_findings import ImportClash, ImportSummary, Progress
from offices.locking import OfficeBusy


class ImportCommand(ReportingCommand):
    """Imports one CSV file as a whole or not at all. Subclasses implement `run_import`."""

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the file."""
        parser.add_argument("file", metavar="FILE.csv", type=Path, help="UTF-8; the header is row 1")

    def run_import(self, *, path: Path, now: datetime, dry_run: bool, progress: Progress) -> ImportSummary:
        """Make the one call."""
        raise NotImplementedError

    def report(self, **options: Any) -> Report:
        """Import once and report what changed, or every row that stands in the way."""
        try:
            with self.progress("Importing rows") as progress:
                summary = self.run_import(
                    path=options["file"], now=timezone.now(), dry_run=options["dry_run"], progress=progress
                )
        except FileUnusable as error:
            raise UsageError(f"{options['file'].name}: {error}") from None
        except OfficeBusy:
            return _nothing_written("office_busy", "an office of this file is busy; import the file again")
        except ImportClash as clash:
            return _nothing_written("import_clash", str(clash))
        return Report(
            counts=summary.counts,
            problems=_problems(summary),
            needs_attention=summary.rejected > 0,
            headline="\n".join([*summary.notes, _headline(summary)]),
        )


def _headline(summary: ImportSummary) -> str:
    if summary.rejected:
        return "Nothing was imported: the file has rows that cannot be taken in."
    if summary.counts["unchanged"] == summary.counts["rows"]:
        return "Nothing changed: all of it is already here."
    return "Imported:"


def _problems(summary: ImportSummary) -> list[Problem]:
    problems = [
        Problem(problem.code, problem.message, row=problem.row, field=problem.field) for problem in summary.problems
    ]
    if summary.hidden_problems:
        problems.append(Problem("more_problems", f"and {summary.hidden_problems:,} more that are not shown"))
    return problems


def _nothing_written(code: str, message: str) -> Report:
    return Report(problems=[Problem(code, message)], needs_attention=True, headline="Nothing was imported:")
