"""Record what a person found out about an incident; write no patient's name into it."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing.incidents import DispositionInvalid, Finding, IncidentNotOpen, as_disposition, dispose_incident
from billing.management.reporting import Problem, Report, ReportingCommand, UsageError


class Command(ReportingCommand):
    """`dispose_incident ID --finding CODE --by WHO [--note WORDS] [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add which incident, what was found, and who says so."""
        parser.add_argument("incident", metavar="ID", help="the incident's id")
        parser.add_argument("--finding", required=True, choices=[each.value for each in Finding], metavar="CODE")
        parser.add_argument("--by", required=True, metavar="WHO", help="who looked into it (kept on the record)")
        parser.add_argument("--note", default="", metavar="WORDS", help="what was done; not part of any report")

    def report(self, **options: Any) -> Report:
        """Dispose of the incident."""
        disposition = as_disposition(Finding(options["finding"]), options["note"])
        try:
            with transaction.atomic():
                dispose_incident(
                    incident_id=_id(options["incident"]),
                    disposition=disposition,
                    actor=f"command:{options['by']}",
                    now=timezone.now(),
                )
                transaction.set_rollback(options["dry_run"])
        except DispositionInvalid as error:
            raise UsageError(str(error)) from None
        except IncidentNotOpen as error:
            return Report(counts={"incidents_disposed": 0}, problems=[Problem("incident_not_open", str(error))])
        return Report(counts={"incidents_disposed": 1}, headline="Recorded.")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError("an incident's id is a UUID") from None
