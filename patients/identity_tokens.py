"""What of an identity can be recognised in a text: keyed tokens, no clear text (privacy.md, "Identity").

Two equal values of one office have equal tokens; a token says nothing about another office. Every row that is sealed
gets its tokens in the same transaction; a trigger deletes them with the row, however it is deleted.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from django.db import connection, models

from offices.encryption import blind_index, blind_indexes
from patients.identity import Identity
from patients.text_normalization import folded, joined, token_sequences, word_key

# Part of the key's name: raise it when the spelling of tokens changes, and `rebuild_patient_index` makes them anew.
TOKEN_FORMAT = 1
_DIGEST_LENGTH = 32  # hex digits, 128 bits: no two values meet by chance, and it fits the narrow type below

_SHORTEST_NAME = 4  # letters; shorter last names (Li, Ng) stand in every other text
_SHORTEST_PHONE = 7
_LONGEST_NATIONAL_PHONE = 10
# A shorter record number is a count, a price or a house number as likely: it needs a word beside it.
_SHORTEST_RECORD, _SHORTEST_NUMERIC_RECORD = 5, 6


class TokenKind(models.TextChoices):
    """What a token was made of."""

    FULL_NAME = "full_name"
    LAST_NAME = "last_name"  # weaker: it is also a street, a town and the clinic's own name
    DATE_OF_BIRTH = "date_of_birth"
    EMAIL = "email"
    PHONE = "phone"
    RECORD_NUMBER = "record_number"
    SHORT_RECORD_NUMBER = "short_record_number"  # weaker: counts only beside a word such as "chart"


_INSERT_ROW = (
    "INSERT INTO patients_patienttoken (patient_id, kind, digest, office_id, key_id) VALUES (%s, %s, %s, %s, %s)"
)
_INSERT_LISTS = (
    "INSERT INTO patients_patienttoken (patient_id, kind, digest, office_id, key_id)"
    " SELECT * FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::uuid[], %s::text[])"
)
_EXTENSION = re.compile(r"ext|x|#")

# Both kinds of a pair are looked up with one digest.
_FAMILY = {TokenKind.LAST_NAME: TokenKind.FULL_NAME, TokenKind.SHORT_RECORD_NUMBER: TokenKind.RECORD_NUMBER}
_FORMAT_SUFFIX = f".{TOKEN_FORMAT}"
_CONTEXTS = {kind: f"patients.patienttoken.{_FAMILY.get(kind, kind).value}{_FORMAT_SUFFIX}\x00" for kind in TokenKind}


class Token(NamedTuple):
    """A row of `PatientToken`, in the order of its columns: made by the million in an import, so no model."""

    patient_id: UUID
    kind: str
    digest: str
    office_id: UUID
    key_id: str


class PatientToken(models.Model):
    """One recognisable value of one patient account, as a keyed digest."""

    pk = models.CompositePrimaryKey("patient_id", "kind", "digest")
    # No foreign key: its check would cost an import more than the row does; the trigger keeps the two in step.
    patient_id = models.UUIDField()
    office_id = models.UUIDField()
    kind = models.CharField(max_length=20, choices=TokenKind.choices)
    # No UUID, but of its size: the type that an index holds in 16 bytes and compares without a collation.
    digest = models.UUIDField()
    key_id = models.CharField(max_length=16)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=TokenKind.values), name="patient_token_kind_known")
        ]
        # The digest is of one office alone: its key has the office in it.
        indexes = [models.Index(fields=["digest"], name="patient_token_by_digest")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.patient_id}"


class Recognisable(NamedTuple):
    """A value in its one spelling."""

    kind: TokenKind
    text: str

    def __repr__(self) -> str:
        return "Recognisable"  # it must not appear in a log or a traceback


def recognisable(identity: Identity) -> Iterator[Recognisable]:
    """Yield what a text may hold of this person."""
    yield from _names(identity.first_name, identity.last_name)
    if identity.date_of_birth is not None:
        yield Recognisable(TokenKind.DATE_OF_BIRTH, identity.date_of_birth.isoformat())
    if "@" in identity.email:
        yield Recognisable(TokenKind.EMAIL, word_key(joined(identity.email)))
    if (phone := phone_key(_digits_of(identity.phone))) is not None:
        yield Recognisable(TokenKind.PHONE, phone)
    if number := joined(identity.external_id):
        kind = TokenKind.RECORD_NUMBER if is_telling_number(number) else TokenKind.SHORT_RECORD_NUMBER
        yield Recognisable(kind, number)


def phone_key(digits: str) -> str | None:
    """Return the digits without a country's code, or nothing when they are too few for a telephone."""
    return digits[-_LONGEST_NATIONAL_PHONE:] if len(digits) >= _SHORTEST_PHONE else None


def is_telling_number(number: str) -> bool:
    """Return whether a record number stands for itself, without a word such as "chart" beside it."""
    if number.isdigit():
        return len(number) >= _SHORTEST_NUMERIC_RECORD
    return len(number) >= _SHORTEST_RECORD and any(sign.isdigit() for sign in number)


def is_telling_name(name: str) -> bool:
    """Return whether a name is long enough; a sign of other scripts is worth a syllable or a word."""
    return len(name) >= (_SHORTEST_NAME if name.isascii() else 2)


def digests_of(value: Recognisable, *, office_id: UUID) -> list[str]:
    """Return the digests under which the value may be stored: one for each index key."""
    indexes = blind_indexes(value.text, context=_CONTEXTS[value.kind] + str(office_id))
    return [index.digest[:_DIGEST_LENGTH] for index in indexes]


def tokens_of(identity: Identity, *, patient_id: UUID, office_id: UUID) -> list[Token]:
    """Return the tokens of an identity, under the first index key; no two are equal."""
    found, office = [], str(office_id)
    for kind, text in recognisable(identity):
        index = blind_index(text, context=_CONTEXTS[kind] + office)
        found.append(
            Token(patient_id, kind._value_, index.digest[:_DIGEST_LENGTH], office_id, index.key_id + _FORMAT_SUFFIX)
        )
    return found


def present_key_id() -> str:
    """Return the key id of a token that is made now."""
    return blind_index("", context="").key_id + _FORMAT_SUFFIX


def write_tokens(tokens: Iterable[Token], *, replacing: Collection[UUID] = ()) -> None:
    """Store tokens, in the transaction of the identities; those of the accounts in `replacing` go first."""
    if replacing:
        PatientToken.objects.filter(patient_id__in=replacing).delete()
    rows = list(tokens)
    if not rows:
        return
    # `bulk_create` made an import twice as slow; so it is about a third slower (measured, six tokens a person).
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_INSERT_LISTS, [list(column) for column in zip(*rows, strict=True)])
        else:
            plain = [(row.patient_id.hex, row.kind, row.digest, row.office_id.hex, row.key_id) for row in rows]
            cursor.executemany(_INSERT_ROW, plain)


def _names(first: str, last: str) -> Iterator[Recognisable]:
    """Yield the full name, without the middle of long names too, and the last name alone.

    The first name comes first: who looks a text up turns its words round, so that the other order is found too.
    """
    firsts, lasts = _words(first), _words(last)
    if firsts and lasts:
        for name in sorted({"".join(firsts + lasts), firsts[0] + lasts[-1]}):
            if is_telling_name(name):
                yield Recognisable(TokenKind.FULL_NAME, word_key(name))
    if lasts and is_telling_name("".join(lasts)):
        yield Recognisable(TokenKind.LAST_NAME, word_key("".join(lasts)))


def _words(name: str) -> tuple[str, ...]:
    return token_sequences(folded(name))[0] if name else ()


def _digits_of(phone: str) -> str:
    """Return the digits of a telephone number up to its extension."""
    return "".join(sign for sign in _EXTENSION.split(folded(phone), maxsplit=1)[0] if sign.isdigit())
