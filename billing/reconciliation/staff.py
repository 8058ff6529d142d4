"""What people do with a discrepancy: own it, write a note, accept it with a reason. A repair is asked for elsewhere."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.discrepancies import end_discrepancies
from billing.minimization.detector import advise
from billing.models import Discrepancy, DiscrepancyStatus
from offices.audit_stream import office_stream
from offices.locking import lock_office

# Discrepancies of no office of ours, such as an invoice of somebody else.
STREAM = "reconciliation"


class DiscrepancyNotFound(Exception):
    """There is no such discrepancy."""


class DiscrepancyEnded(Exception):
    """It is no longer open: mended, gone, or accepted by somebody."""


class ReasonMissing(Exception):
    """A difference is accepted with a reason, in words."""


class NoteLooksLikePatientData(Exception):
    """The detectors advise against the words; carries their codes, never the words."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        super().__init__("the note looks like patient data")
        self.codes = codes


@transaction.atomic
def assign(*, discrepancy_id: UUID, owner: str, actor: str, now: datetime) -> Discrepancy:
    """Give an open discrepancy to somebody; an empty `owner` takes it away. Raises as `_take`."""
    found = _take(discrepancy_id)
    if found.owner != owner:
        found.owner = owner
        found.save(update_fields=["owner"])
        _tell(found, "discrepancy.assigned", {"owner": owner}, actor, now)
    return found


@transaction.atomic
def write_note(*, discrepancy_id: UUID, note: str, actor: str, now: datetime) -> Discrepancy:
    """Keep staff's words, sealed. Raises NoteLooksLikePatientData, and as `_take`."""
    found = _take(discrepancy_id)
    _check(found, note)
    found.note = note
    found.save(update_fields=["note"])
    _tell(found, "discrepancy.noted", {}, actor, now)
    return found


@transaction.atomic
def accept(*, discrepancy_id: UUID, reason: str, actor: str, now: datetime) -> Discrepancy:
    """Leave a difference as it is, for a reason; it stays accepted as long as both sides say the same.

    Raises ReasonMissing, NoteLooksLikePatientData, and as `_take`.
    """
    found = _take(discrepancy_id)
    if not reason.strip():
        raise ReasonMissing("accept a difference with a reason")
    _check(found, reason)
    found.note = f"{found.note}\n\n[accepted: {reason.strip()}]".strip()
    found.save(update_fields=["note"])
    end_discrepancies(Discrepancy.objects.filter(pk=found.pk), status=DiscrepancyStatus.ACCEPTED, actor=actor, now=now)
    _tell(found, "discrepancy.accepted", {}, actor, now)
    found.refresh_from_db()
    return found


def _take(discrepancy_id: UUID) -> Discrepancy:
    """Lock the office and return the open discrepancy; raise DiscrepancyNotFound, DiscrepancyEnded, OfficeBusy."""
    office = Discrepancy.objects.filter(pk=discrepancy_id).values_list("office", flat=True).first()
    if office is not None:
        lock_office(office)
    found = Discrepancy.objects.select_related("office").filter(pk=discrepancy_id).first()
    if found is None:
        raise DiscrepancyNotFound("there is no such discrepancy")
    if found.status != DiscrepancyStatus.OPEN:
        raise DiscrepancyEnded("it is no longer open")
    return found


def _check(found: Discrepancy, words: str) -> None:
    codes = advise(found.office_id, words, field="internal_note").codes if found.office_id else ()
    if codes:
        raise NoteLooksLikePatientData(codes)


def _tell(found: Discrepancy, action: str, payload: dict[str, PayloadValue], actor: str, now: datetime) -> None:
    about: dict[str, PayloadValue] = {"discrepancy": str(found.pk), "kind": found.kind, **payload}
    stream = office_stream(found.office.reference) if found.office else STREAM
    record(Fact(stream, action, about), actor=actor, now=now)
