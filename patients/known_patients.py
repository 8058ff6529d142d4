"""Does a text name a patient of this office? Asked by people's tools only, before anything is decided to leave.

NEVER ask at send time. The decision what may leave must not depend on who is a patient, or it would tell who is
(privacy.md, "Office profile"): an import contract keeps the modules of delivery away from here.
An answer is codes; which patient it was is never said, and nothing of the text is kept.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from uuid import UUID

from offices.csv_rows import in_chunks
from patients.dates_in_text import dates_in
from patients.identity_tokens import (
    PatientToken,
    Recognisable,
    TokenKind,
    digests_of,
    is_telling_name,
    is_telling_number,
    phone_key,
)
from patients.models import Patient
from patients.text_normalization import Tokens, digit_sequence, folded, readings, token_sequences, turned, word_key

# The weaker code: the last name alone. A text that has the full name too gets the stronger one as well.
LAST_NAME_CODE = f"patient_{TokenKind.LAST_NAME.value}"

REFERENCE_CODE = "patient_reference"

_DIGESTS_PER_QUERY = 1_000
_WORDS_IN_A_NAME, _PARTS_OF_A_NUMBER, _PARTS_OF_AN_EMAIL = 6, 5, 10
_BETWEEN_NAMES = 2  # words: a middle name, a title
# Letters of first and last name written as one word; shorter ones are words by themselves, longer ones are no names.
_SHORTEST_GLUED_NAME, _LONGEST_GLUED_NAME = 6, 24
_SHORTEST_GLUED_EMAIL = 8
_LONGEST_VALUE = 120
_REFERENCE = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}(?![0-9a-f])")
_AT = re.compile(r"@|\bat\b")
_EMAIL_WORDS = frozenset({"at", "dot", "punkt", "period"})
# Beside such a word even a short number is a record number.
_RECORD_WORDS = frozenset(
    {"mrn", "chart", "record", "patient", "pt", "pat", "file", "case", "emr", "ehr", "folder", "id", "no", "num"}
    | {"number", "nr", "client", "member", "rec"}
)


def _code(kind: TokenKind) -> str:
    return f"patient_{(TokenKind.RECORD_NUMBER if kind is TokenKind.SHORT_RECORD_NUMBER else kind).value}"


CODES = frozenset({*map(_code, TokenKind), REFERENCE_CODE})


def matches(office_id: UUID, text: str) -> tuple[str, ...]:
    """Return what of this office's patients the text holds, as sorted codes such as `patient_full_name`; never who."""
    sought: dict[str, set[TokenKind]] = defaultdict(set)
    for value in set(_values(text)):
        for digest in digests_of(value, office_id=office_id):
            sought[digest].add(value.kind)
    found: set[TokenKind] = set()
    for some in in_chunks(sought.items(), _DIGESTS_PER_QUERY):
        asked = dict(some)
        rows = PatientToken.objects.filter(office_id=office_id, digest__in=list(asked)).values_list("digest", "kind")
        found |= {TokenKind(kind) for digest, kind in rows.distinct() if kind in asked[digest.hex]}
    codes = {_code(kind) for kind in found}
    return tuple(sorted(codes | {REFERENCE_CODE} if _has_reference(office_id, text) else codes))


def _has_reference(office_id: UUID, text: str) -> bool:
    """Return whether the text holds the reference of an account: random, and still not for anybody else to see."""
    written = {UUID(found) for reading in readings(text) for found in _REFERENCE.findall(reading)}
    return bool(written) and Patient.objects.filter(office_id=office_id, pk__in=written).exists()


def _values(text: str) -> Iterator[Recognisable]:
    """Yield everything in the text that could be a token, in every reading of it."""
    forwards = readings(text)
    for reading in forwards:
        yield from _values_in(reading)
    # Turned readings are asked for names and numbers only through exact digests, so that they raise no alarm by chance.
    for reading in turned(folded(text)):
        yield from _values_in(reading)


def _values_in(reading: str) -> Iterator[Recognisable]:
    sequences = token_sequences(reading)
    for day in dates_in(reading).union(*(dates_in(" ".join(words)) for words in sequences)):
        yield Recognisable(TokenKind.DATE_OF_BIRTH, day.isoformat())
    yield from _phones(digit_sequence(reading))
    may_hold_email = _AT.search(reading) is not None
    for words in sequences:
        yield from _names(words)
        yield from _record_numbers(words)
        if may_hold_email:
            yield from _emails(words)


def _names(words: Tokens) -> Iterator[Recognisable]:
    for place in range(len(words)):
        for length in range(1, min(_WORDS_IN_A_NAME, len(words) - place) + 1):
            yield from _as_names(words[place : place + length])
        for other in words[place + 2 : place + 2 + _BETWEEN_NAMES]:
            yield from _as_names((words[place], other))


def _as_names(words: Tokens) -> Iterator[Recognisable]:
    """Yield some words as a last name, and as a full name with its parts in either order."""
    key = "".join(map(word_key, words))
    if not is_telling_name(key) or len(key) > _LONGEST_VALUE:
        return
    yield Recognisable(TokenKind.LAST_NAME, key)
    # Written as one word, the place between first and last name is unknown.
    parts = words if len(words) > 1 else tuple(words[0])
    if len(words) > 1 or _SHORTEST_GLUED_NAME <= len(key) <= _LONGEST_GLUED_NAME or not key.isascii():
        for place in range(len(parts)):
            yield Recognisable(TokenKind.FULL_NAME, word_key("".join(parts[place:] + parts[:place])))


def _record_numbers(words: Tokens) -> Iterator[Recognisable]:
    for _, number in _grams(words, _PARTS_OF_A_NUMBER):
        if is_telling_number(number):
            yield Recognisable(TokenKind.RECORD_NUMBER, number)
    for place, word in enumerate(words):
        if word in _RECORD_WORDS:
            for length in range(1, _PARTS_OF_A_NUMBER):
                yield Recognisable(TokenKind.SHORT_RECORD_NUMBER, "".join(words[place + 1 : place + 1 + length]))


def _emails(words: Tokens) -> Iterator[Recognisable]:
    bare = tuple(word for word in words if word not in _EMAIL_WORDS)
    for length, email in _grams(bare, _PARTS_OF_AN_EMAIL):
        # Mailbox, domain, top level; or all of it spelt out letter by letter, which is one word by now.
        if length > 2 or len(email) >= _SHORTEST_GLUED_EMAIL:
            yield Recognisable(TokenKind.EMAIL, word_key(email))


def _phones(runs: Tokens) -> Iterator[Recognisable]:
    stretch: list[str] = []
    for run in (*runs, "-"):
        if run != "-":
            stretch.append(run)
            continue
        # Up to fifteen digits, whatever stands between them (E.164); spelt out, each is a part of its own.
        for _, digits in _grams(tuple(stretch), 15):
            if len(digits) <= 15 and (key := phone_key(digits)) is not None:
                yield Recognisable(TokenKind.PHONE, key)
        stretch = []


def _grams(words: Iterable[str], longest: int) -> Iterator[tuple[int, str]]:
    """Yield every run of up to `longest` words, as their number and the words in one."""
    listed = list(words)
    for start in range(len(listed)):
        text = ""
        for length, word in enumerate(listed[start : start + longest], start=1):
            text += word
            if len(text) > _LONGEST_VALUE:
                break
            yield length, text
