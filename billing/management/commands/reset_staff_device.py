"""Take the second factor of an account away, for a reason, and invite the person to confirm a new one.

Ends all sessions of the account and prints a new first password, once; with --json as `"password"`.
"""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.management.reporting import Report, ReportingCommand, UsageError
from billing.staff_accounts import AccountNotFound, ReasonMissing, reset_staff_device


class Command(ReportingCommand):
    """`reset_staff_device USERNAME --reason WHY [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add whose device, and why."""
        parser.add_argument("username", metavar="USERNAME")
        parser.add_argument(
            "--reason", required=True, metavar="WHY", help="how you know who asked (kept on the record)"
        )

    def report(self, **options: Any) -> Report:
        """Make the one call."""
        try:
            with transaction.atomic():
                password = reset_staff_device(
                    username=options["username"],
                    reason=options["reason"],
                    actor="command:reset_staff_device",
                    now=timezone.now(),
                )
                transaction.set_rollback(options["dry_run"])
        except (AccountNotFound, ReasonMissing) as error:
            raise UsageError(str(error)) from None
        extra = {} if options["dry_run"] else {"password": password}
        headline = "The first password, shown this once; it works for 72 hours and for the enrolment alone:"
        return Report(counts={"devices_reset": 1}, headline=headline if extra else "", extra=extra)
