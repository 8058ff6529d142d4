"""Destroy who a patient is and keep what was billed: the account becomes a number without a person.

The row's data key goes with the row, so no copy of the sealed text can be opened without a backup of both
(decisions.md 36). References, periods, lines and the audit trail stay: they are random, and the books rest on them
(45 CFR 164.316(b)(2) and 164.514(c)).
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from offices.audit_stream import office_stream
from offices.locking import lock_office
from patients.identity import PatientIdentity
from patients.identity_tokens import PatientToken
from patients.models import Patient
from patients.reveal_grant import RevealGrant

# Said by the command and by docs/compliance/erasure.md; a test holds the two together.
BACKUPS_KEEP = (
    "Backups, standby servers that lag and archived write-ahead logs made before now still hold the sealed identity "
    "and its wrapped key, readable with the FIELD_ENCRYPTION_KEYS of their time. They hold it until they are deleted: "
    "for 35 days at most, when backups are kept as docs/compliance/erasure.md says. After a restore from one of them, "
    "erase again."
)


class PatientNotFound(LookupError):
    """There is no such patient account."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was destroyed: an identity or none (it was gone before), its grants and its tokens."""

    identities: int
    grants: int
    tokens: int


@transaction.atomic
def erase_patient_identity(*, patient_id: UUID, actor: str, now: datetime) -> Erasure:
    """Destroy identity, reveal grants and recognition tokens of a patient account; a second time changes nothing.

    The same record number imported later makes a new account. Raises PatientNotFound and the office lock's OfficeBusy.
    """
    patient = Patient.objects.select_related("office").filter(pk=patient_id).first()
    if patient is None:
        raise PatientNotFound("there is no such patient account")
    lock_office(patient.office_id)
    tokens, _ = PatientToken.objects.filter(patient_id=patient_id).delete()
    grants, _ = RevealGrant.objects.filter(patient_id=patient_id).delete()
    identities, _ = PatientIdentity.objects.filter(patient_id=patient_id).delete()
    erasure = Erasure(identities=identities, grants=grants, tokens=tokens)
    if erasure != Erasure(0, 0, 0):
        fact = Fact(office_stream(patient.office.reference), "identity.erased", {"patient": str(patient_id)})
        record(fact, actor=actor, now=now)
    return erasure
