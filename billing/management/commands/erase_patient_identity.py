"""Destroy who a patient is: name, birth date, contact, record number. What was billed stays. Cannot be undone."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from offices.locking import OfficeBusy
from patients.erasure import BACKUPS_KEEP, Erasure, PatientNotFound, erase_patient_identity


class Command(ReportingCommand):
    """`erase_patient_identity PATIENT_ID --by WHO [--dry-run] [--json]`."""

    help = __doc__

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add whose identity, and who decides."""
        parser.add_argument(
            "patient", metavar="PATIENT_ID", help="the account's id, as the API and the console show it"
        )
        parser.add_argument("--by", required=True, metavar="WHO", help="who decides (kept on the record)")

    def report(self, **options: Any) -> Report:
        """Erase, and say what backups keep."""
        try:
            erased = self._erase(UUID(options["patient"]), options)
        except ValueError:
            raise UsageError("PATIENT_ID is no id of an account") from None
        except PatientNotFound as error:
            raise UsageError(str(error)) from None
        except OfficeBusy as error:
            return Report(problems=[Problem("office_busy", str(error))], needs_attention=True, headline="Not erased.")
        return Report(
            counts={
                "identities_erased": erased.identities,
                "grants_erased": erased.grants,
                "tokens_erased": erased.tokens,
            },
            headline="Erased." if erased.identities else "There is no identity on record: it was erased before.",
            extra={"backups": BACKUPS_KEEP},
        )

    def _erase(self, patient_id: UUID, options: dict[str, Any]) -> Erasure:
        with transaction.atomic():
            erased = erase_patient_identity(patient_id=patient_id, actor=f"command:{options['by']}", now=timezone.now())
            transaction.set_rollback(options["dry_run"])
        return erased
