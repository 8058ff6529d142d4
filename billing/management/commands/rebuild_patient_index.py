"""Make the keyed tokens that recognise patients in a text anew, after a change of the index keys or of the spelling.

May be stopped at any time: the next run goes on with the identities that have no token under the present key.
"""

from argparse import ArgumentParser
from typing import Any

from billing.management.reporting import Problem, Report, ReportingCommand
from patients.token_rebuild import Rebuilt, rebuild_tokens

COUNTS = ("identities", "identities_changed", "tokens_written")


class Command(ReportingCommand):
    """`rebuild_patient_index [--all] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add how much to look at."""
        parser.add_argument("--all", action="store_true", help="compare every identity, not only those without tokens")

    def report(self, **options: Any) -> Report:
        """Rebuild and report what could not be done."""
        with self.progress("Rebuilding the patient index") as progress:
            rebuilt = rebuild_tokens(everything=options["all"], dry_run=options["dry_run"], progress=progress)
        problems = _problems(rebuilt)
        return Report(
            counts={name: rebuilt.counts[name] for name in COUNTS},
            problems=problems,
            needs_attention=bool(problems),
            headline="Rebuilt:" if rebuilt.counts["identities_changed"] else "Nothing to do: the index is in step.",
        )


def _problems(rebuilt: Rebuilt) -> list[Problem]:
    return [
        *(Problem("office_busy", "left out; run the command again", office=office) for office in rebuilt.busy),
        *(
            Problem("identity_unreadable", f"{number} identities cannot be read with the present keys", office=office)
            for office, number in sorted(rebuilt.unreadable.items())
        ),
    ]
