"""Delete the answers kept for `Idempotency-Key` that are older than 72 hours; the workers do the same every hour."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.idempotent_answers import purge_answers
from billing.management.reporting import Report, ReportingCommand


class Command(ReportingCommand):
    """`purge_api_answers [--dry-run] [--json]`."""

    help = __doc__

    def report(self, **options: Any) -> Report:
        """Purge, or in a dry run count."""
        with transaction.atomic():
            purged = purge_answers(now=timezone.now())
            transaction.set_rollback(options["dry_run"])
        return Report(counts={"answers_purged": purged})
