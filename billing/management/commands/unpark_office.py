"""Let billing and delivery of a parked office go on, for a reason."""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from billing.parking import ReasonMissing
from billing.unparking import OfficeNotParked, unpark_office
from offices.models import Office

LONGEST_REASON = 200  # characters, as the column


class Command(ReportingCommand):
    """`unpark_office REF --reason WHY [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add which office, and why."""
        parser.add_argument("office", metavar="REF", help="the office's reference")
        parser.add_argument("--reason", required=True, metavar="WHY", help="why it may go on (kept on the record)")

    def report(self, **options: Any) -> Report:
        """Release the office."""
        if len(options["reason"]) > LONGEST_REASON:
            raise UsageError(f"--reason takes at most {LONGEST_REASON} characters")
        office = Office.objects.filter(reference=options["office"]).only("pk").first()
        if office is None:
            raise UsageError(f"there is no office with the reference {options['office']!r}")
        try:
            with transaction.atomic():
                now = timezone.now()
                unpark_office(office_id=office.pk, reason=options["reason"], actor="command:unpark_office", now=now)
                transaction.set_rollback(options["dry_run"])
        except ReasonMissing as error:
            raise UsageError(str(error)) from None
        except OfficeNotParked:
            problem = Problem("office_not_parked", "nothing to release", office=options["office"])
            return Report(counts={"offices_unparked": 0}, problems=[problem])
        if not options["dry_run"] and Office.objects.filter(pk=office.pk, parked_at__isnull=False).exists():
            problem = Problem("parked_again", "what parked it still holds", office=options["office"])
            return Report(counts={"offices_unparked": 0}, problems=[problem], needs_attention=True)
        return Report(counts={"offices_unparked": 1}, headline="Released.")
