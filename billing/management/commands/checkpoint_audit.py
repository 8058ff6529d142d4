"""Seal what the audit trail has gained since the last checkpoint, and anchor it outside the database."""

from typing import Any

from django.utils import timezone

from audit import signing
from audit.checkpoints import make_checkpoint
from billing.management.audit_problems import as_problems
from billing.management.reporting import Report, ReportingCommand


class Command(ReportingCommand):
    """`checkpoint_audit [--dry-run] [--json]`."""

    help = __doc__

    def report(self, **options: Any) -> Report:
        """Make a checkpoint if anything changed, and tell what could not be sealed."""
        outcome = make_checkpoint(now=timezone.now(), dry_run=options["dry_run"])
        made = outcome.checkpoint
        what = f"Checkpoint {made.seq}." if made else "Nothing has changed since the last checkpoint."
        return Report(
            counts={
                "checkpoints_made": int(made is not None),
                "streams_sealed": outcome.heads,
                "refused": len(outcome.refused),
            },
            problems=as_problems(outcome.refused),
            needs_attention=bool(outcome.refused),
            headline=f"{what} The fingerprint of the signing key:",
            extra={"fingerprint": signing.fingerprint(signing.public_keys()[0])},
        )
