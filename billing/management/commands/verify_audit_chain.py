"""Prove that the audit trail is whole: every edit, deletion, insertion and swap is found, every cut and roll-back.

Checkpoints are compared with the anchors of `--anchors`, or of AUDIT_ANCHORS_PATH when that file is there.
"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from audit import anchors
from audit.chain import Verified, is_known, verify_trail
from billing.management.audit_problems import as_problems
from billing.management.reporting import Report, ReportingCommand, UsageError


class Command(ReportingCommand):
    """`verify_audit_chain [--anchors FILE] [--stream NAME] [--json]`."""

    help = __doc__
    writes = False

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the choice of streams and the anchors to compare with."""
        parser.add_argument("--anchors", type=Path, metavar="FILE", help="compare the checkpoints with these anchors")
        parser.add_argument("--stream", action="append", metavar="NAME", help="only this stream (may be repeated)")

    def report(self, **options: Any) -> Report:
        """Verify and report each break."""
        unknown = [name for name in options["stream"] or [] if not is_known(name)]
        if unknown:
            raise UsageError("there is no such stream: " + ", ".join(unknown))
        try:
            found = verify_trail(options["stream"], anchors=options["anchors"] or _own_anchors())
        except OSError:
            raise UsageError("the anchors cannot be read") from None
        return Report(
            counts={
                "entries": found.entries,
                "checkpoints": found.checkpoints,
                "anchors": found.anchors,
                "breaks": len(found.breaks),
            },
            problems=as_problems(found.breaks),
            needs_attention=bool(found.breaks),
            headline=_headline(found),
        )


def _own_anchors() -> Path | None:
    own = anchors.path()
    return own if own is not None and own.exists() else None


def _headline(found: Verified) -> str:
    if found.breaks:
        return "The audit chain is broken."
    if not found.anchors:
        return "The audit chain verifies. No anchors were compared: that it was not rolled back is not proved."
    return "The audit chain verifies."
