"""Note that an older backup was restored: from then on delivery looks at Stripe before it sends."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError, instant
from billing.restored_books import RestoreNotPossible, note_restore


class Command(ReportingCommand):
    """`note_restore --to T --by WHO [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add the moment, and who restored it."""
        parser.add_argument(
            "--to", metavar="T", required=True, help="the moment of the backup; in doubt an earlier one"
        )
        parser.add_argument("--by", metavar="WHO", required=True, help="who restored it, for the audit trail")

    def report(self, **options: Any) -> Report:
        """Note it and put the anchors of the lost time aside."""
        actor, now = f"command:note_restore:{options['by']}"[:100], timezone.now()
        try:
            noted = note_restore(
                restored_to=instant(options["to"]), actor=actor, now=now, dry_run=options["dry_run"]
            )  # fmt: skip
        except RestoreNotPossible as error:
            raise UsageError(str(error)) from None
        except OSError:
            problem = Problem("anchors_not_set_aside", "noted; move the anchors' file away, it is evidence")
            return Report(counts={"restores_noted": 1}, problems=[problem], needs_attention=True)
        counts = {
            "restores_noted": 1,
            "steps_doubted": noted.steps_doubted,
            "anchors_set_aside": int(noted.anchors_set_aside is not None),
        }
        return Report(counts=counts, headline="Delivery looks at Stripe before it sends what existed until now.")
