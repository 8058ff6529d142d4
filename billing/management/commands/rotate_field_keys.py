"""Encrypt and index everything again under the first keys of FIELD_ENCRYPTION_KEYS and BLIND_INDEX_KEYS.

May run beside everything else, be stopped and be run again. When it counts nothing, the old keys may be dropped.
"""

from typing import Any

from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand
from offices.key_rotation import Rotation
from patients.identity_rotation import rotate_field_keys

LARGEST_LIST = 100  # unreadable rows printed; their number is always told


class Command(ReportingCommand):
    """`rotate_field_keys [--dry-run] [--json]`."""

    help = __doc__

    def report(self, **options: Any) -> Report:
        """Rotate and report what could not be done."""
        with self.progress("Rotating keys") as progress:
            rotation = rotate_field_keys(
                actor="command:rotate_field_keys", now=timezone.now(), progress=progress, dry_run=options["dry_run"]
            )
        problems = _problems(rotation)
        rewritten = sum(rotation.rewritten.values())
        columns = ", ".join(f"{label} {rows}" for label, rows in sorted(rotation.rewritten.items()))
        return Report(
            counts={
                "rewritten": rewritten,
                "unreadable": len(rotation.unreadable),
                "busy": sum(rotation.busy.values()),
            },
            problems=problems,
            needs_attention=bool(problems),
            headline="Keys rotated:" if rewritten else "Nothing is left under an old key.",
            extra={"columns": columns},
        )


def _problems(rotation: Rotation) -> list[Problem]:
    return [
        *(
            Problem("unreadable", f"no key of the ring reads the row with the id {each.row}", field=each.column)
            for each in rotation.unreadable[:LARGEST_LIST]
        ),
        *(
            Problem("busy", f"{number} still under an old key, held by others; run it again", field=column)
            for column, number in rotation.busy.items()
        ),
    ]
