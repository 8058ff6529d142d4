"""Hand out the audit trail as a folder that an auditor verifies without this program, and without data of a patient.

A checkpoint is made first, so that all that is handed out is sealed by one.
"""

from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.utils import timezone

from audit import signing
from audit.chain import is_known
from audit.checkpoints import make_checkpoint
from audit.export import Exported, export_trail
from billing.management.audit_problems import as_problems
from billing.management.reporting import Report, ReportingCommand, UsageError, instant
from billing.minimization.audit_disclosure import may_show


class Command(ReportingCommand):
    """`export_audit [--out FOLDER] [--stream NAME] [--since T] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add where to, and how much of it."""
        parser.add_argument("--out", type=Path, metavar="FOLDER", help="a folder that is not there yet")
        parser.add_argument("--stream", action="append", metavar="NAME", help="only this stream (may be repeated)")
        parser.add_argument("--since", metavar="T", help="only what was recorded from this instant on")

    def report(self, **options: Any) -> Report:
        """Seal, write, and tell how it is verified."""
        now = timezone.now()
        unknown = [name for name in options["stream"] or [] if not is_known(name)]
        if unknown:
            raise UsageError("there is no such stream: " + ", ".join(unknown))
        since = instant(options["since"]) if options["since"] is not None else None
        folder = options["out"] or Path(f"audit-export-{now:%Y%m%dT%H%M%SZ}")
        if folder.exists():
            raise UsageError(f"{folder.name} is there already; an export is never written over another")
        refused = make_checkpoint(now=now, dry_run=options["dry_run"]).refused
        with TemporaryDirectory() as scratch:
            done = _export(Path(scratch, "dry") if options["dry_run"] else folder, options["stream"], since, now)
        return Report(
            counts=asdict(done),
            problems=as_problems(refused),
            needs_attention=bool(refused),
            headline=f"Written: {folder.name}. The fingerprint of the signing key:",
            extra={"fingerprint": signing.fingerprint(signing.public_keys()[0])},
        )


def _export(folder: Path, streams: list[str] | None, since: datetime | None, now: datetime) -> Exported:
    try:
        return export_trail(folder=folder, streams=streams, since=since, may_show=may_show, now=now)
    except OSError:
        raise UsageError(f"cannot write {folder.name}: is its parent folder there?") from None
