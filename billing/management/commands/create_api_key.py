"""Issue an API key for an office and print it once; each run makes another key, for rotation.

With --json the key is an extra member beside the usual ones: `"key": "<prefix>.<secret>"`; absent in a dry run.
"""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.api_keys import DEFAULT_SCOPES, ApiKeyMalformed, issue_api_key
from billing.management.reporting import Report, ReportingCommand, UsageError, instant
from billing.models import Scope
from offices.models import Office


class Command(ReportingCommand):
    """`create_api_key --office REF --name N [--scopes S ...] [--expires T] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add whose key it is and what it opens."""
        parser.add_argument("--office", metavar="REF", required=True, help="the office with this reference")
        parser.add_argument("--name", required=True, help="what the key is for, such as 'portal 2026'")
        parser.add_argument(
            "--scopes",
            nargs="+",
            choices=Scope.values,
            default=sorted(DEFAULT_SCOPES),
            help="what the key opens (default: all but patients:identity)",
        )
        parser.add_argument("--expires", metavar="T", help="when the key stops working (default: never)")

    def report(self, **options: Any) -> Report:
        """Issue the key, or in a dry run everything but the key."""
        office = Office.objects.filter(reference=options["office"]).only("id").first()
        if office is None:
            raise UsageError(f"there is no office with the reference {options['office']!r}")
        expires_at = instant(options["expires"]) if options["expires"] else None
        key = self._issue(office, expires_at, options)
        headline = "The key, shown this once:" if key else "An API key:"
        return Report(counts={"keys_created": 1}, headline=headline, extra={"key": key} if key else {})

    def _issue(self, office: Office, expires_at: datetime | None, options: dict[str, Any]) -> str:
        """Return the key; empty in a dry run, which rolls back."""
        try:
            with transaction.atomic():
                _, key = issue_api_key(
                    office_id=office.pk,
                    name=options["name"],
                    scopes={Scope(word) for word in options["scopes"]},
                    expires_at=expires_at,
                    actor="command:create_api_key",
                    now=timezone.now(),
                )
                transaction.set_rollback(options["dry_run"])
        except ApiKeyMalformed as error:
            raise UsageError(str(error)) from None
        return "" if options["dry_run"] else key
