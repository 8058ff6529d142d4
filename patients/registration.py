"""Register one patient account, and find accounts by the office's own record number (decisions.md 32)."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from audit.chain import Fact, record
from offices.audit_stream import office_stream
from offices.csv_rows import in_chunks
from offices.import_findings import Cause, ProblemCode
from offices.locking import lock_office
from patients.identity import Identity, PatientIdentity, external_id_indexes
from patients.identity_tokens import tokens_of, write_tokens
from patients.models import Patient

# Longer than any honest value; a cell that is longer is a shifted column or a broken quote.
LONGEST = {"external_id": 100, "first_name": 200, "last_name": 200, "email": 254, "phone": 50}
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_OFFICES_PER_QUERY = 200  # SQLite takes an expression at most 1,000 terms deep

RecordNumber = tuple[UUID, str]  # the office, and what it calls the patient


class IdentityInvalid(ValueError):
    """The identity breaks a rule; `causes` name fields and codes, never a value."""

    def __init__(self, causes: tuple[Cause, ...]) -> None:
        super().__init__("the identity is not valid")
        self.causes = causes


class RecordNumberTaken(Exception):
    """The office has a patient account with this record number, and it describes the person otherwise."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The account; `created` is False when the very same person was registered before."""

    patient: Patient
    created: bool


@transaction.atomic
def register_patient(
    *,
    office_id: UUID,
    external_id: str,
    first_name: str,
    last_name: str,
    date_of_birth: date | None,
    email: str,
    phone: str,
    actor: str,
    now: datetime,
) -> Registration:
    """Make a patient account, not yet active, and seal who it is; registering the same person again changes nothing.

    Raises IdentityInvalid, RecordNumberTaken, and the office lock's OfficeNotFound and OfficeBusy.
    """
    external_id = record_number(external_id)
    identity = Identity(external_id, first_name, last_name, date_of_birth, email, phone)
    check_identity(identity, now=now)
    office = lock_office(office_id)
    known = find_identities({(office_id, external_id)}).get((office_id, external_id))
    if known is not None:
        if known.open() != identity:
            raise RecordNumberTaken("this record number belongs to a patient account that is described otherwise")
        return Registration(known.patient, created=False)
    patient = Patient.objects.create(office=office, created_at=now)
    PatientIdentity.seal(patient_id=patient.pk, office_id=office.pk, identity=identity).save(force_insert=True)
    write_tokens(tokens_of(identity, patient_id=patient.pk, office_id=office.pk))
    fact = Fact(office_stream(office.reference), "patient.registered", {"patient": str(patient.pk)})
    record(fact, actor=actor, now=now)
    return Registration(patient, created=True)


def record_number(text: str) -> str:
    """Return the office's record number without the blanks around it, whichever way it came in.

    A number padded in a file would be a second account of the same person, and be billed a second time.
    """
    return text.strip()


def check_identity(identity: Identity, *, now: datetime) -> None:
    """Raise IdentityInvalid with every cause: no record number, too long, no text, born in the future.

    Names may be empty, and e-mail and phone are taken as they are: they are a clinic's notes, billing never uses them.
    """
    causes = [Cause("external_id", ProblemCode.REQUIRED)] if not identity.external_id.strip() else []
    for name, longest in LONGEST.items():
        text: str = getattr(identity, name)
        if len(text) > longest:
            causes.append(Cause(name, ProblemCode.TOO_LONG))
        elif _NOT_TEXT.search(text):
            causes.append(Cause(name, ProblemCode.NOT_UTF8))
    # One day ahead: it is already tomorrow in the zone of some offices.
    if identity.date_of_birth is not None and identity.date_of_birth > (now + timedelta(days=1)).date():
        causes.append(Cause("date_of_birth", ProblemCode.FUTURE_DATE))
    if causes:
        raise IdentityInvalid(tuple(causes))


def find_identities(wanted: Collection[RecordNumber]) -> dict[RecordNumber, PatientIdentity]:
    """Return the sealed identities that exist for these record numbers, whichever index key they were stored under."""
    sought: dict[tuple[UUID, str], RecordNumber] = {}
    digests: dict[UUID, list[str]] = defaultdict(list)
    for office_id, external_id in wanted:
        for index in external_id_indexes(external_id, office_id=office_id):
            sought[office_id, index.digest] = (office_id, external_id)
            digests[office_id].append(index.digest)
    found = {}
    for part in in_chunks(digests.items(), _OFFICES_PER_QUERY):
        # By office: the unique index leads with it.
        among = reduce(or_, (Q(office_id=office_id, external_id_index__in=some) for office_id, some in part))
        for identity in PatientIdentity.objects.filter(among):
            found[sought[identity.office_id, identity.external_id_index]] = identity
    return found
