"""Approve or reject what Stripe may know of an office: a person decides, the detectors only advise (privacy.md).

The values are transliterated to printable ASCII first, so that what is approved is what is sent, byte for byte. A
match with a patient of this office is shown to the approver alone; the decision at send time is equality with the
approved value and never asks the patient index, so it cannot tell who is a patient.
"""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from billing.customers import queue_profile
from billing.minimization.detector import advise
from billing.models import MessageKind, OfficeProfile, OutboxMessage, ProfileRejection
from billing.stripe_gateway.outbound_values import ApprovedProfile, OutboundValueInvalid
from offices.audit_stream import office_stream
from offices.locking import lock_office

LONGEST_REASON = 200  # characters, as the columns keep them
# Letters that have no decomposition into a base letter and a mark.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "œ": "oe", "Œ": "OE",
     "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "\u0131": "i",
     "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)  # fmt: skip


class ProfileNotSendable(ValueError):
    """The name or e-mail cannot be written in the characters that may leave; write it in Latin letters."""


class ProfileNeedsReason(Exception):
    """The detectors advise against it; approve with a reason, or choose other values. `codes` say why."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        super().__init__("the detectors advise against this profile")
        self.codes = codes


class RejectionNeedsReason(ValueError):
    """A person says in 1 to LONGEST_REASON characters why what an office calls itself may not stand at Stripe."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The standing profile, and what the detectors said of it."""

    profile: OfficeProfile
    advice: tuple[str, ...]


def transliterate(text: str) -> str:
    """Return the text in printable ASCII; raise ProfileNotSendable when a character has no Latin form."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = " ".join("".join(each for each in decomposed if not unicodedata.combining(each)).split())
    if not plain.isascii() or not plain.isprintable():
        raise ProfileNotSendable("write the name in Latin letters")
    return plain


@transaction.atomic
def approve_profile(
    *, office_id: UUID, name: str, email: str, actor: str, now: datetime, override_reason: str = ""
) -> Approval:
    """Let this name and e-mail, and no others, reach Stripe for this office from now on.

    Raises ProfileNotSendable, ProfileNeedsReason (approve again with a reason), and the office lock's errors.
    """
    office = lock_office(office_id)
    plain, codes = preview_approval(office_id=office_id, name=name, email=email)
    if codes and not override_reason.strip():
        raise ProfileNeedsReason(codes)
    OfficeProfile.objects.filter(office=office, replaced_at=None).update(replaced_at=now)
    profile = OfficeProfile.objects.create(
        office=office,
        name=plain,
        email=email,
        advice=",".join(codes)[:200],  # the column; the first codes say enough
        override_reason=override_reason if codes else "",
        approved_by=actor,
        approved_at=now,
    )
    if OutboxMessage.objects.filter(office=office, kind=MessageKind.CUSTOMER).exists():
        queue_profile(office, now=now)
    fact = Fact(office_stream(office.reference), "profile.approved", {"against_advice": bool(codes)})
    record(fact, actor=actor, now=now)
    return Approval(profile, codes)


@transaction.atomic
def reject_profile(*, office_id: UUID, reason: str, actor: str, now: datetime) -> ProfileRejection:
    """Keep on record that what the office calls itself may not reach Stripe; what was approved before stays approved.

    The reason stays on the row: staff's own words do not enter the chain. Raises RejectionNeedsReason, and the office
    lock's errors.
    """
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise RejectionNeedsReason(f"say in 1 to {LONGEST_REASON} characters why it is rejected")
    office = lock_office(office_id)
    rejection = ProfileRejection.objects.create(
        office=office, reason=reason.strip(), rejected_by=actor, rejected_at=now
    )
    record(Fact(office_stream(office.reference), "profile.rejected"), actor=actor, now=now)
    return rejection


def preview_approval(*, office_id: UUID, name: str, email: str) -> tuple[str, tuple[str, ...]]:
    """Return the name as it would be sent, and what the detectors say of name and e-mail; raise ProfileNotSendable."""
    plain = transliterate(name)
    try:
        ApprovedProfile(plain, email or None)
    except OutboundValueInvalid:
        raise ProfileNotSendable("the name or the e-mail is not of a form that may be sent") from None
    return plain, _advice(office_id, plain, email)


def _advice(office_id: UUID, name: str, email: str) -> tuple[str, ...]:
    codes = set(advise(office_id, name, field="profile_name").codes)
    if email:
        codes |= set(advise(office_id, email, field="profile_email").codes)
    return tuple(sorted(codes))
