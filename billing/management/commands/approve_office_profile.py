"""Approve the name and e-mail under which Stripe may know an office; the detectors advise, you decide."""

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from billing.minimization.profile_approval import ProfileNeedsReason, ProfileNotSendable, approve_profile
from offices.models import Office


class Command(ReportingCommand):
    """`approve_office_profile REF --by WHO [--name N] [--email E] [--reason WHY] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add which office, what to approve, and who approves it."""
        parser.add_argument("office", metavar="REF", help="the office's reference")
        parser.add_argument("--by", required=True, metavar="WHO", help="who decides (kept on the record)")
        parser.add_argument("--name", help="the business name (default: the office's name)")
        parser.add_argument("--email", help="a role mailbox, or '' for none (default: the office's billing e-mail)")
        parser.add_argument("--reason", default="", metavar="WHY", help="approve against the detectors' advice")

    def report(self, **options: Any) -> Report:
        """Approve, or tell what the detectors advise."""
        office = Office.objects.filter(reference=options["office"]).first()
        if office is None:
            raise UsageError(f"there is no office with the reference {options['office']!r}")
        try:
            with transaction.atomic():
                approve_profile(
                    office_id=office.pk,
                    name=office.name if options["name"] is None else options["name"],
                    email=office.billing_email if options["email"] is None else options["email"],
                    actor=f"command:{options['by']}",
                    now=timezone.now(),
                    override_reason=options["reason"],
                )
                transaction.set_rollback(options["dry_run"])
        except ProfileNotSendable as error:
            raise UsageError(str(error)) from None
        except ProfileNeedsReason as advice:
            problems = [
                Problem(
                    code,
                    "the detectors advise against it; choose other values or give --reason",
                    office=office.reference,
                )
                for code in advice.codes
            ]
            return Report(counts={"profiles_approved": 0}, problems=problems, needs_attention=True)
        return Report(counts={"profiles_approved": 1}, headline="Approved.")
