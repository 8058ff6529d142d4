"""Prove that the audit trail is whole: every edit, deletion, insertion and swap is found."""

from argparse import ArgumentParser
from typing import Any

from audit.chain import is_known, verify
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError

LARGEST_LIST = 100  # breaks printed; their number is always told


class Command(ReportingCommand):
    """`verify_audit_chain [--stream NAME] [--json]`."""

    help = __doc__
    writes = False

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the choice of streams."""
        parser.add_argument("--stream", action="append", metavar="NAME", help="only this stream (may be repeated)")

    def report(self, **options: Any) -> Report:
        """Verify and report each break."""
        unknown = [name for name in options["stream"] or [] if not is_known(name)]
        if unknown:
            raise UsageError("there is no such stream: " + ", ".join(unknown))
        entries, breaks = verify(options["stream"])
        return Report(
            counts={"entries": entries, "breaks": len(breaks)},
            problems=[
                Problem(found.code, f"stream {found.stream}, position {found.seq}") for found in breaks[:LARGEST_LIST]
            ],
            needs_attention=bool(breaks),
            headline="The audit chain is broken." if breaks else "The audit chain verifies.",
        )
