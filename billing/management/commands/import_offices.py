"""Import offices from a CSV file; a second import of the same file changes nothing."""

from datetime import datetime
from pathlib import Path

from billing.management.importing import ImportCommand
from billing.office_import import import_offices
from offices.import_findings import ImportSummary, Progress


class Command(ImportCommand):
    """`import_offices FILE.csv [--dry-run] [--json]`."""

    help = __doc__

    def run_import(self, *, path: Path, now: datetime, dry_run: bool, progress: Progress) -> ImportSummary:
        """Import the offices of the file."""
        return import_offices(path=path, actor="command:import_offices", now=now, dry_run=dry_run, progress=progress)
