"""Where a correction ends: once, with an outcome, and with the replacement when it stands for one."""

from datetime import datetime

from audit.chain import Fact, record
from billing.models import Correction, CorrectionKind, CorrectionStatus
from billing.replacement import make_replacement
from offices.audit_stream import office_stream


def end_correction(
    correction: Correction, status: CorrectionStatus, *, outcome: str = "", actor: str, now: datetime
) -> bool:
    """End an approved correction and return True; False when it has ended before. The caller holds the office lock.

    A replacement is made in the same transaction: it exists exactly when the correction is done.
    """
    ended = Correction.objects.filter(pk=correction.pk, status=CorrectionStatus.APPROVED).update(
        status=status, outcome=outcome, ended_at=now
    )
    if not ended:
        return False
    if status == CorrectionStatus.DONE and correction.kind == CorrectionKind.REPLACE:
        make_replacement(correction, actor=actor, now=now)
    tell(correction, "correction.ended", {"status": status, "outcome": outcome}, actor=actor, now=now)
    return True


def tell(correction: Correction, action: str, more: dict[str, str], *, actor: str, now: datetime) -> None:
    """Write what happened to the correction into the audit trail: ids, kinds and codes, never a word of staff's."""
    office = correction.invoice.office
    about = {"correction": str(correction.pk), "invoice": str(correction.invoice_id), "kind": correction.kind}
    record(Fact(office_stream(office.reference), action, {**about, **more}), actor=actor, now=now)
