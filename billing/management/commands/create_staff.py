"""Make a staff account in one or more roles, change its roles, or close it.

Prints a first password, once: with it the person logs in, sets one of their own and confirms a device, within 72 hours.
With --json it is an extra member, `"password"`; absent in a dry run and where nothing was made.
"""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.management.reporting import Report, ReportingCommand, UsageError
from billing.models import Role
from billing.staff_accounts import (
    AccountExists,
    AccountNotFound,
    RoleMissing,
    UsernameInvalid,
    create_staff_account,
    deactivate_staff_account,
    set_staff_roles,
)

ACTOR = "command:create_staff"


class Command(ReportingCommand):
    """`create_staff USERNAME [--role ROLE ...] [--change] [--deactivate] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add whose account, and what becomes of it."""
        parser.add_argument("username", metavar="USERNAME", help="3 to 60 lower-case letters, digits, . - _")
        parser.add_argument("--role", action="append", default=[], choices=Role.values, help="may be repeated")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--change", action="store_true", help="put an account that exists in exactly these roles")
        what.add_argument("--deactivate", action="store_true", help="close the account and its sessions at once")

    def report(self, **options: Any) -> Report:
        """Make the one call."""
        try:
            with transaction.atomic():
                report = _act(options)
                transaction.set_rollback(options["dry_run"])
        except (AccountExists, AccountNotFound, RoleMissing, UsernameInvalid) as error:
            raise UsageError(str(error)) from None
        if options["dry_run"]:
            report.extra = {}
        return report


def _act(options: dict[str, Any]) -> Report:
    given: dict[str, Any] = {"username": options["username"], "actor": ACTOR, "now": timezone.now()}
    roles = [Role(name) for name in options["role"]]
    if options["deactivate"]:
        return Report(counts={"accounts_deactivated": int(deactivate_staff_account(**given))})
    if options["change"]:
        return Report(counts={"accounts_changed": int(set_staff_roles(roles=roles, **given))})
    password = create_staff_account(roles=roles, **given)
    headline = "The first password, shown this once; it works for 72 hours and for the enrolment alone:"
    return Report(counts={"accounts_created": 1}, headline=headline, extra={"password": password})
