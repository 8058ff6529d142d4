"""Revoke an API key, an office's or a platform's, for good; it stops working with the next call."""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.api_keys import ApiKeyNotFound, revoke_api_key
from billing.management.reporting import Report, ReportingCommand, UsageError
from billing.models import OfficeApiKey
from billing.models.api_key import PLATFORM_MARK
from billing.platform_keys import revoke_platform_key


class Command(ReportingCommand):
    """`revoke_api_key PREFIX --by WHO [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add which key, and who decided it."""
        parser.add_argument("prefix", metavar="PREFIX", help="the eight characters before the dot")
        parser.add_argument("--by", metavar="WHO", required=True, help="who revokes it, for the audit trail")

    def report(self, **options: Any) -> Report:
        """Revoke the key, or in a dry run only look."""
        try:
            with transaction.atomic():
                changed = _revoke(options["prefix"], actor=f"command:revoke_api_key:{options['by']}"[:100])
                transaction.set_rollback(options["dry_run"])
        except ApiKeyNotFound:
            raise UsageError("there is no API key with this prefix") from None
        headline = "" if changed else "The key was revoked before."
        return Report(counts={"keys_revoked": int(changed)}, headline=headline)


def _revoke(prefix: str, *, actor: str) -> bool:
    if prefix.startswith(PLATFORM_MARK):
        return revoke_platform_key(prefix=prefix, actor=actor, now=timezone.now())
    office_id = OfficeApiKey.objects.filter(prefix=prefix).values_list("office_id", flat=True).first()
    if office_id is None:
        raise ApiKeyNotFound("there is no API key with this prefix")
    return revoke_api_key(office_id=office_id, prefix=prefix, actor=actor, now=timezone.now())
