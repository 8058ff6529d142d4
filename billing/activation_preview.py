"""What activating or deactivating an account would mean for the bill: the same code, in a transaction rolled back."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing.activation import ActivationResult, activate_patient, deactivate_patient
from billing.models import Invoice, InvoiceStatus, InvoiceType
from billing.not_billed import Verdict, why_not_billed


@dataclass(frozen=True, slots=True)
class Deactivation:
    """What an end would do: nothing when the account is not active; else how the open month would charge it."""

    changed: bool
    month: str = ""
    month_ends_at: datetime | None = None
    verdict: Verdict | None = None


def preview_activation(
    *, office_id: UUID, patient_id: UUID, actor: str, now: datetime, activated_at: datetime | None = None
) -> ActivationResult:
    """Return what the activation would change. Raises what it raises."""
    with transaction.atomic():
        result = activate_patient(
            office_id=office_id, patient_id=patient_id, actor=actor, now=now, activated_at=activated_at
        )
        transaction.set_rollback(True)
    return result


def preview_deactivation(
    *, office_id: UUID, patient_id: UUID, actor: str, now: datetime, deactivated_at: datetime | None = None
) -> Deactivation:
    """Return what the end would change. Raises what it raises."""
    with transaction.atomic():
        changed = deactivate_patient(
            office_id=office_id, patient_id=patient_id, actor=actor, now=now, deactivated_at=deactivated_at
        )
        outcome = _open_month(office_id, patient_id, changed=changed) if changed else Deactivation(changed=False)
        transaction.set_rollback(True)
    return outcome


def _open_month(office_id: UUID, patient_id: UUID, *, changed: bool) -> Deactivation:
    """Judge the account in the newest open month, as it would be after the end."""
    drafts = Invoice.objects.filter(
        office=office_id,
        invoice_type=InvoiceType.MONTHLY,
        status=InvoiceStatus.DRAFT,
        closed_at__isnull=True,
    )
    invoice = drafts.select_related("cycle").defer("internal_note").order_by("-cycle__index").first()
    if invoice is None or invoice.cycle is None:
        return Deactivation(changed)
    verdict = why_not_billed(invoice, patient_id)
    return Deactivation(changed, invoice.cycle.key, invoice.cycle.end_at, verdict)
