"""Patterns of the identifiers of 45 CFR 164.514(b)(2) in a staff note or a clinic's name. Pure: text in, codes out.

Each pattern is matched against a folded reading (patients/text_normalization.py), so it is written in small letters.
Advice, not a barrier: what an honest clinic writes every day must pass, so most patterns want a word beside the number.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

from billing.minimization.name_words import AFTER_PATIENT, FIRST_NAMES, FREE_MAIL, OF_A_CLINIC
from patients.dates_in_text import dates_in

# No contract, invoice or visit of ours is that old: a full date before is somebody's birthday.
_OLDEST_BUSINESS_YEAR = 2010

_NUMBER = r"(?:no\b|nr\b|num\b|number|id\b|#)"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = rf"(?:\d{{1,4}}\s?[-/.]\s?\d{{1,2}}|{_MONTH}\.? \d|\d{{1,2}}\.? ?{_MONTH}(?!\w))"
_BIRTH = r"\b(?:d\.?\s?o\.?\s?b\b|date of birth|birth ?dat[ea]|b-?day|birthday|geb)"
_PHONE = r"(?:\+?1[-. ]{0,2})?\(?[2-9]\d\d\)?[-. /]{1,2}\d{3}[-. ]\d{4}(?!\d)"
_CALL = r"\b(?:phone|ph|tel|telephone|call|called|cell|mobile|text|texted|sms|whatsapp|home|fax)\b"
_PATIENT = r"\b(?:patients?'s|the patient|patient|pt)\b"

PATTERNS: dict[str, tuple[str, ...]] = {
    "date_of_birth": (
        rf"{_BIRTH}\W{{0,4}}[a-z]{{0,3}}\W{{0,3}}{_DATE}",
        rf"\bborn\b.{{0,8}}(?:{_DATE})",
        r"\b(?:dob|birthday|born)\b\W{0,4}(?:19|20)?\d{4,8}\b",
    ),
    "care_date": (
        r"\b(?:admitted|admission|discharged?|date of service|dos|surgery|seen on|treated|examined|adjusted on|injured"
        rf"|car accident|deceased|died|date of death|last visit)\b.{{0,20}}?{_DATE}",
    ),
    "ssn": (
        r"(?<![\d-])(?!000|666|9\d\d)\d{3}[-. ](?!00)\d\d[-. ](?!0000)\d{4}(?![\d-])",
        r"\b(?:ssn|social security|soc\.? sec|social)\b\D{0,15}\d{3}\W?\d{2}\W?\d{4}(?!\d)",
    ),
    "record_number": (
        rf"\b(?:mrn|medical record|med rec)s?\b\W{{0,3}}{_NUMBER}?\W{{0,3}}[a-z]{{0,4}}-?\d",
        r"\bmrn\d",
        rf"\b(?:patient|pt|chart|emr|ehr)\W{{0,2}}{_NUMBER}\W{{0,3}}[a-z]{{0,5}}-?\d",
        r"\bchart\W{1,3}(?!(?:19|20)\d\d\b)\d{4,}",
    ),
    "plan_number": (
        r"\b(?:member|policy|subscriber|insurance|medicare|medicaid|beneficiary|claim)\s*"
        rf"{_NUMBER}\W{{0,3}}[a-z]{{0,3}}-?\d{{5,}}",
    ),
    "account_number": (
        rf"(?<!gl )(?<!ledger )\b(?:account|acct|routing|iban)\b\s*{_NUMBER}?\W{{0,3}}[a-z]{{0,2}}\d{{6,}}",
        r"(?<![\d-])[3-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{3,4}(?![\d-])",
    ),
    "licence_number": (rf"\b(?:driver'?s? licen[cs]e|licen[cs]e|dl)\s*{_NUMBER}\W{{0,3}}[a-z]{{0,2}}\d{{6,}}",),
    "vehicle_id": (r"\b(?:vin|licen[cs]e plate|plate no)\b\W{0,3}(?=[a-z0-9-]*\d)[a-z0-9-]{5,17}\b",),
    "device_id": (r"\b(?:imei|udi|pacemaker|implant|hearing aid)s?\b.{0,20}?\d{4,}",),
    "web_address": (
        r"(?:https?://|www\.)\S*(?:patient|chart|mrn|record|person|dob|name=)",
        r"(?:facebook|instagram|linkedin|tiktok)\.com/\S",
    ),
    "biometric": (rf"{_PATIENT}.{{0,30}}\b(?:fingerprint|retina|iris scan|voice ?print|face ?id)",),
    "photo": (r"\b(?:photo|picture|image|x-?ray|mri|scan)s? of (?:the )?(?:patient|pt|mr|mrs|ms|him|her)\b",),
    "home_address": (
        r"\b(?:home address|lives (?:at|in)|resid(?:es|ing) (?:at|in)|residence)\b\W{0,3}.{0,20}?\d",
        rf"{_PATIENT}.{{0,40}}?\d{{1,5}} [a-z]+ (?:st|street|ave|avenue|rd|road|ln|lane|dr|drive|blvd|ct|way)\b",
    ),
    "age": (
        r"\b\d{1,3}[- ]?(?:years?|yrs?|y)[-/ ]?(?:old|o)[- ](?:male|female|man|woman|m\b|f\b|patient|pt|boy|girl|lady)",
        r"\b\d{1,3} ?(?:y/o|yo)\b",
        r"\b(?:9\d|1[0-2]\d)[- ]years?[- ]old\b",
        rf"{_PATIENT}\W.{{0,20}}\b(?:age|aged)\W{{0,3}}\d",
    ),
}  # fmt: skip
PATTERN_CODES = frozenset(PATTERNS) | {
    "old_date", "health_of_a_person", "phone_number", "fax_number", "ip_address", "email_address"
}  # fmt: skip
_COMPILED = {code: tuple(re.compile(pattern) for pattern in patterns) for code, patterns in PATTERNS.items()}

# Numbers that are a clinic's own as often as a person's: not with such words around them.
_OF_THE_OFFICE = re.compile(
    r"\b(?:office|front desk|desk|clinic|practice|main line|reception|support|help ?desk|hotline|vendor|branch|vpn"
    r"|firewall|allow-?list(?:ed)?|white-?list(?:ed)?|server|network|router|printer|static)\b"
)
_PHONES = (
    re.compile(rf"(?<![\d-]){_PHONE}"),
    re.compile(r"(?<![\w+])\+\d[\d ().-]{7,16}\d(?!\d)"),
    re.compile(rf"{_CALL}\W{{0,6}}(?:\w+\W{{1,3}})?(?:\d{{10}}|[2-9]\d\d[-. ]\d{{4}})(?!\d)"),
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IP = re.compile(rf"(?<![\w.])(?<!v )(?<!version )(?<!release )(?:{_OCTET}\.){{3}}{_OCTET}(?![\w.])")
_IP6 = re.compile(r"(?<![\w:])[0-9a-f]{1,4}(?:(?::[0-9a-f]{1,4}){4,7}|(?::[0-9a-f]{1,4}){1,5}::[0-9a-f]{1,4})(?![\w:])")
_EMAIL = re.compile(r"[\w.+-]+\s?(?:@|\(at\)|\[at\])\s?([\w-]+(?:\s?(?:\.|\(dot\)|\[dot\])\s?[\w-]+)+)")
_CUE = re.compile(r"\b(?:patient|pt|pat)\b(?:\s+(?:is|was|name|named|called))?\s*[.:,=-]{0,2}\s*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u2019-](?=[^\W\d_]))+")
_HEALTH = re.compile(
    r"\b(?:diagnos\w+|sciatica|lumbago|herniat\w+|scoliosis|whiplash|pregnan\w+|hiv|cancer|depression|concussion"
    r"|fracture\w*|back pain|neck pain|knee pain|migraines?|prescri\w+|icd-?10|dx|rx|arthritis|stroke)\b"
)
_A_PERSON = re.compile(r"\b(?:mr|mrs|ms|miss)\b\.? [a-z]{2,}|\b(?:the patient|pt)\b(?!s)|\b(?:she|he|his|her) ")


def identifier_codes(reading: str, *, in_note: bool) -> Iterator[str]:
    """Yield the codes of what a folded reading holds; in a note, an office's own numbers are honest."""
    for code, patterns in _COMPILED.items():
        if any(pattern.search(reading) for pattern in patterns):
            yield code
    if any(day.year < _OLDEST_BUSINESS_YEAR for day in dates_in(reading) if str(day.year) in reading):
        yield "old_date"
    if in_note and _HEALTH.search(reading) and _names_a_person(reading):
        yield "health_of_a_person"
    yield from _contact_codes(reading, in_note=in_note)


def names_beside_patient(text: str) -> bool:
    """Return whether "patient" or "pt" is followed by somebody's name; capitals count, so give the text unfolded."""
    plain = unicodedata.normalize("NFKC", text)
    return any(_is_name(plain[cue.end() :], cue[0]) for cue in _CUE.finditer(plain))


def _is_name(rest: str, cue: str) -> bool:
    words = [word[0] for word in _WORD.finditer(rest[:80])][:2]
    if not words or not rest.startswith(words[0]) or words[0].lower() in AFTER_PATIENT | OF_A_CLINIC:
        return False
    if words[0].lower() in FIRST_NAMES:
        return True
    capital = [word for word in words if word[0].isupper() and not word.isupper()]
    if cue[0].isupper() and not cue.rstrip().endswith(":"):
        # A title: each of its words has a capital, so two strange ones are wanted.
        return len(capital) == 2 and words[1].lower() not in AFTER_PATIENT | OF_A_CLINIC
    return words[0] in capital


def _names_a_person(reading: str) -> bool:
    if _A_PERSON.search(reading):
        return True
    words = _WORD.findall(reading)
    return any(one in FIRST_NAMES and other not in AFTER_PATIENT for one, other in pairwise(words))


def _contact_codes(reading: str, *, in_note: bool) -> Iterator[str]:
    if _stands_alone(reading, *_PHONES, in_note=in_note):
        yield "fax_number" if re.search(r"\bfax\b", reading) else "phone_number"
    if _stands_alone(reading, _IP, _IP6, in_note=in_note):
        yield "ip_address"
    for found in _EMAIL.finditer(reading):
        domain = re.sub(r"\s|[()\[\]]", "", found[1].replace("(dot)", ".").replace("[dot]", "."))
        if not in_note or domain in FREE_MAIL:
            yield "email_address"
            return


def _stands_alone(reading: str, *patterns: re.Pattern[str], in_note: bool) -> bool:
    """Return whether a number is there without a word nearby that makes it the office's own."""
    for pattern in patterns:
        for found in pattern.finditer(reading):
            around = reading[max(0, found.start() - 40) : found.end() + 25]
            if not in_note or not _OF_THE_OFFICE.search(around):
                return True
    return False
