"""Issue an API key and print it once; each run makes another key, for rotation.

A key belongs to one office. With --platform it acts for all the offices that are named, and every use of it is audited.
With --json the key is an extra member beside the usual ones: `"key": "<prefix>.<secret>"`; absent in a dry run.
"""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing.api_keys import DEFAULT_SCOPES, ApiKeyMalformed, issue_api_key
from billing.management.reporting import Report, ReportingCommand, UsageError, instant
from billing.models import Scope
from billing.platform_keys import issue_platform_key
from offices.models import Office


class Command(ReportingCommand):
    """`create_api_key --office REF ... --name N [--platform] [--scopes S ...] [--expires T] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add whose key it is and what it opens."""
        parser.add_argument("--office", metavar="REF", nargs="+", required=True, help="the office with this reference")
        parser.add_argument("--platform", action="store_true", help="one key for all the offices that are named")
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
        if len(options["office"]) > 1 and not options["platform"]:
            raise UsageError("a key belongs to one office; --platform makes one for several")
        key = self._issue([_office(reference) for reference in options["office"]], options)
        headline = "The key, shown this once:" if key else "An API key:"
        return Report(counts={"keys_created": 1}, headline=headline, extra={"key": key} if key else {})

    def _issue(self, office_ids: list[UUID], options: dict[str, Any]) -> str:
        """Return the key; empty in a dry run, which rolls back."""
        terms: dict[str, Any] = {
            "name": options["name"],
            "scopes": {Scope(word) for word in options["scopes"]},
            "expires_at": instant(options["expires"]) if options["expires"] else None,
            "actor": "command:create_api_key",
            "now": timezone.now(),
        }
        try:
            with transaction.atomic():
                if options["platform"]:
                    _, key = issue_platform_key(office_ids=office_ids, **terms)
                else:
                    _, key = issue_api_key(office_id=office_ids[0], **terms)
                transaction.set_rollback(options["dry_run"])
        except ApiKeyMalformed as error:
            raise UsageError(str(error)) from None
        return "" if options["dry_run"] else key


def _office(reference: str) -> UUID:
    office_id = Office.objects.filter(reference=reference).values_list("pk", flat=True).first()
    if office_id is None:
        raise UsageError(f"there is no office with the reference {reference!r}")
    return office_id
