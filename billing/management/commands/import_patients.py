"""Import patient accounts and their periods of activity from a CSV file; a second import changes nothing."""

from datetime import datetime
from pathlib import Path

from billing.management.importing import ImportCommand
from offices.import_findings import ImportSummary, Progress
from patients.patient_import import import_patients


class Command(ImportCommand):
    """`import_patients FILE.csv [--dry-run] [--json]`."""

    help = __doc__

    def run_import(self, *, path: Path, now: datetime, dry_run: bool, progress: Progress) -> ImportSummary:
        """Import the patient accounts of the file."""
        return import_patients(path=path, actor="command:import_patients", now=now, dry_run=dry_run, progress=progress)
