"""Show one person who a patient is: by permission, for a reason, for 15 minutes, on the record.

Unique users, access by permission, automatic expiry and a trail of reads (45 CFR 164.312(a) and (b)); one patient at a
time is the minimum necessary (164.502(b)). Emergency access (164.312(a)(2)(ii)) is the same way with its own reason:
whoever may need it holds the permission beforehand, so there is no door beside this one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from offices.audit_stream import office_stream
from offices.locking import lock_office
from patients.identity import Identity, PatientIdentity
from patients.models import Patient
from patients.reveal_grant import RevealGrant

PERMISSION = "patients.reveal_identity"
LASTS = timedelta(minutes=15)  # privacy.md: long enough for a call with the clinic, too short to be left open
LONGEST_REASON = 1_000  # characters


class RevealNotPermitted(Exception):
    """The person may not see identities."""


class ReasonMissing(ValueError):
    """A reveal needs a reason of one to LONGEST_REASON characters."""


class IdentityNotFound(LookupError):
    """There is no such patient account, or its identity was erased."""


class GrantNotFound(LookupError):
    """There is no such grant, or it is somebody else's: the two are not told apart."""


class GrantExpired(Exception):
    """The quarter of an hour is over; ask again, with a reason."""


class Person(Protocol):
    """What must be known of who asks; Django's user has it."""

    @property
    def is_active(self) -> bool:
        """Return whether the person may log in at all."""

    def get_username(self) -> str:
        """Return the name the person logs in with."""

    def has_perm(self, perm: str, /) -> bool:
        """Return whether the person has this permission."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, as the audit trail names them, and whether they may: True only when the permission was seen."""

    actor: str
    may_reveal: bool

    @classmethod
    def of(cls, person: Person) -> "Viewer":
        """Look the permission up; anything but a plain yes is a no."""
        name = person.get_username()
        allowed = bool(name) and person.is_active is True and person.has_perm(PERMISSION) is True
        return cls(actor=f"staff:{name}", may_reveal=allowed)


def reveal_identity(*, patient_id: UUID, viewer: Viewer, reason: str, now: datetime) -> RevealGrant:
    """Let the viewer see who this patient is until 15 minutes from now; record who asked, never why or whom by name.

    A refusal is recorded too. Raises RevealNotPermitted, ReasonMissing, IdentityNotFound, and the office lock's
    OfficeBusy.
    """
    patient = Patient.objects.select_related("office").filter(pk=patient_id).first()
    _refuse_unpermitted(viewer, patient, now=now)
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise ReasonMissing("say in a few words why you need to see who this is")
    if patient is None:
        raise IdentityNotFound("there is no such patient account")
    return _grant(patient, viewer, reason.strip(), now=now)


@transaction.atomic
def read_revealed(*, grant_id: UUID, viewer: Viewer, now: datetime) -> Identity:
    """Return the identity to the person it was granted to, while the grant lasts; each read is recorded.

    Raises RevealNotPermitted, GrantNotFound, GrantExpired, IdentityNotFound and CiphertextUnreadable.
    """
    if viewer.may_reveal is not True:
        raise RevealNotPermitted("this person may not see identities")
    grant = RevealGrant.objects.select_related("patient__office").defer("reason").filter(pk=grant_id).first()
    if grant is None or grant.actor != viewer.actor:
        raise GrantNotFound("there is no such grant")
    if not grant.granted_at <= now < grant.expires_at:
        raise GrantExpired("this grant is over")
    identity = PatientIdentity.objects.filter(pk=grant.patient_id).first()
    if identity is None:
        raise IdentityNotFound("the identity of this patient account was erased")
    clear = identity.open()
    _record("identity.read", grant.patient, viewer, now=now, grant=str(grant.pk))
    return clear


@transaction.atomic
def _grant(patient: Patient, viewer: Viewer, reason: str, *, now: datetime) -> RevealGrant:
    lock_office(patient.office_id)  # an erasure holds it too: no grant for an identity that goes just now
    if not PatientIdentity.objects.filter(pk=patient.pk).exists():
        raise IdentityNotFound("the identity of this patient account was erased")
    grant = RevealGrant.objects.create(
        patient=patient, actor=viewer.actor, reason=reason, granted_at=now, expires_at=now + LASTS
    )
    _record("identity.revealed", patient, viewer, now=now, grant=str(grant.pk))
    return grant


def _refuse_unpermitted(viewer: Viewer, patient: Patient | None, *, now: datetime) -> None:
    """Record the attempt in a transaction of its own, then refuse."""
    if viewer.may_reveal is True:
        return
    if patient is not None:
        with transaction.atomic():
            _record("identity.reveal_refused", patient, viewer, now=now)
    raise RevealNotPermitted("this person may not see identities")


def _record(action: str, patient: Patient, viewer: Viewer, *, now: datetime, **more: str) -> None:
    payload = {"patient": str(patient.pk), **more}
    record(Fact(office_stream(patient.office.reference), action, payload), actor=viewer.actor, now=now)
