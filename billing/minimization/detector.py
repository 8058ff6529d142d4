"""Advise people whether a text looks like patient data: a clinic's name or e-mail to approve, or a staff note.

Advice, not a barrier: no detector is close to adequate (privacy.md); what may leave is decided by structure. Asks the
index of known patients, so it must never be asked at send time: an import contract keeps delivery away.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from billing.minimization.identifier_patterns import PATTERN_CODES, identifier_codes, names_beside_patient
from billing.minimization.name_words import AFTER_PATIENT, FIRST_NAMES, FREE_MAIL, ROLES
from patients.known_patients import CODES as KNOWN_PATIENT_CODES
from patients.known_patients import LAST_NAME_CODE, matches
from patients.text_normalization import folded_by_looks, joined, readings

Purpose = Literal["profile_name", "profile_email", "internal_note"]

PERSONAL_MAILBOX = "personal_mailbox"
NAME_BESIDE_PATIENT = "name_beside_patient"
CODES = PATTERN_CODES | KNOWN_PATIENT_CODES | {PERSONAL_MAILBOX, NAME_BESIDE_PATIENT}

# A last name is also a street, a town and the clinic's own: it counts beside such a word, or with an initial.
_BESIDE_A_CUE = re.compile(
    r"\b(?:mr|mrs|ms|miss|mister|patient|pt|pat|family of|relative of|son of|daughter of|wife of|husband of|mother of"
    r"|father of)\b[\s.:,]*((?:[^\W\d_]+\W+)?[^\W\d_]+)"
)
_WITH_AN_INITIAL = re.compile(r"\b[A-Z]\.\s?[^\W\d_][\w'\u2019-]{3,}|[^\W\d_][\w'\u2019-]{3,},\s?[A-Z]\b(?!\.?[A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Advice:
    """Why a text looks like patient data, as sorted codes; none: nothing speaks against it."""

    codes: tuple[str, ...]


def advise(office_id: UUID, text: str, *, field: Purpose) -> Advice:
    """Return what speaks against the text in this place. Codes only: never the text, nor which patient it may name."""
    codes = set(_known(office_id, text))
    if field == "profile_email":
        codes |= {PERSONAL_MAILBOX} if _is_personal(text) else set()
    else:
        for reading in readings(text):
            codes.update(identifier_codes(reading, in_note=field == "internal_note"))
        codes |= {NAME_BESIDE_PATIENT} if names_beside_patient(text) else set()
    return Advice(tuple(sorted(codes)))


def _known(office_id: UUID, text: str) -> Iterator[str]:
    codes = matches(office_id, text)
    yield from (code for code in codes if code != LAST_NAME_CODE)
    if LAST_NAME_CODE in codes and any(LAST_NAME_CODE in matches(office_id, each) for each in _likely_people(text)):
        yield LAST_NAME_CODE


def _likely_people(text: str) -> Iterator[str]:
    for reading in readings(text):
        yield from (words for words in _BESIDE_A_CUE.findall(reading) if words.split()[0] not in AFTER_PATIENT)
    yield from _WITH_AN_INITIAL.findall(text)


def _is_personal(email: str) -> bool:
    """Return whether a mailbox is a person's: at a free provider, or named like a person and not like a task."""
    local, _, domain = folded_by_looks(email).strip().rpartition("@")
    if domain in FREE_MAIL:
        return True
    words = _LETTERS.findall(local)
    if any(role in local if len(role) > 2 else role in words for role in ROLES) or joined(local) in joined(domain):
        return False
    two_names = len(words) == 2 and all(len(word) < 3 or word not in domain for word in words)
    return two_names or any(word in FIRST_NAMES for word in words) or words[:1] == ["dr"]
