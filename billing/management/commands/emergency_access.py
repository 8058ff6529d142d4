"""Open the sealed account for 60 minutes, for a person of staff and for a reason; an alert goes out at once.

Prints user name, password and code, once; with --json as members of these names. Follow
docs/compliance/emergency-access.md.
"""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.alerts import send_alerts
from billing.emergency_access import Opening, open_emergency_access
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from billing.staff_accounts import AccountNotFound, ReasonMissing


class Command(ReportingCommand):
    """`emergency_access --person USERNAME --reason WHY [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add for whom, and why."""
        parser.add_argument("--person", required=True, metavar="USERNAME", help="the staff account of who will use it")
        parser.add_argument("--reason", required=True, metavar="WHY", help="kept encrypted, beside the opening")

    def report(self, **options: Any) -> Report:
        """Open it, then tell whoever is on call."""
        now = timezone.now()
        try:
            with transaction.atomic():
                opening = open_emergency_access(
                    person=options["person"], reason=options["reason"], actor="command:emergency_access", now=now
                )
                transaction.set_rollback(options["dry_run"])
        except (AccountNotFound, ReasonMissing) as error:
            raise UsageError(str(error)) from None
        if options["dry_run"]:
            return Report(counts={"accounts_opened": 1})
        waiting = send_alerts(now=now).waiting
        problems = (
            [Problem("alert_waits", "no alert went out yet; tell the privacy officer yourself")] if waiting else []
        )
        return Report(counts={"accounts_opened": 1}, headline=_words(opening), problems=problems, extra=_extra(opening))


def _words(opening: Opening) -> str:
    return f"Open until {opening.ends_at:%Y-%m-%d %H:%M} UTC. User name, password and code, shown this once:"


def _extra(opening: Opening) -> dict[str, str]:
    return {"username": opening.username, "password": opening.password, "code": opening.code}
