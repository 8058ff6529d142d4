"""What to look for: every identifier of a person in the forms people and programs write it, as sequences of tokens."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from uuid import UUID

from sandbox.demo.people import Person

Tokens = tuple[str, ...]

_DOTLESS_I = "\N{LATIN SMALL LETTER DOTLESS I}"
_TOKEN = re.compile(r"[^\W_]+")
_SEPARATED_DATES = ("%Y %m %d", "%d %m %Y", "%m %d %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y")
_JOINED_DATES = ("%Y%m%d", "%d%m%Y", "%m%d%Y")
# Shorter texts without separators occur by chance: "Li" is inside "limit".
SHORTEST_JOINED = 8
PHONE_DIGITS = 10  # a number without its country code


class Kind(StrEnum):
    """What an identifier tells."""

    FULL_NAME = "full name"
    NAME = "first or last name"
    DATE_OF_BIRTH = "date of birth"
    EMAIL = "e-mail"
    PHONE = "phone"
    EXTERNAL_ID = "record number"
    REFERENCE = "patient reference"


@dataclass(slots=True, repr=False)
class Needles:
    """What the scanner searches: by tokens, and long ones also without what separates the tokens."""

    by_tokens: dict[Tokens, Kind] = field(default_factory=dict)
    joined: dict[str, Kind] = field(default_factory=dict)

    def add(self, kind: Kind, text: str) -> None:
        """Look for a text of this kind, however it is cased, accented and separated."""
        found = tokens(text)
        if found:
            self.by_tokens.setdefault(found, kind)

    def add_joined(self, kind: Kind, text: str) -> None:
        """Look for a text also where its separators were dropped."""
        joined = "".join(tokens(text))
        if len(joined) >= SHORTEST_JOINED:
            self.joined.setdefault(joined, kind)

    def __len__(self) -> int:
        return len(self.by_tokens) + len(self.joined)


def normal(text: str) -> str:
    """Return the text without case and accents; Turkish dotless i counts as i, since upper case makes it one."""
    folded = unicodedata.normalize("NFKD", text.casefold().replace(_DOTLESS_I, "i"))
    return "".join(letter for letter in folded if not unicodedata.combining(letter))


def tokens(text: str) -> Tokens:
    """Return the words and numbers of a text in their normal form."""
    return tuple(_TOKEN.findall(normal(text)))


def is_telling(name: str) -> bool:
    """Tell whether a name on its own means anything: two letters, or one that no code of ours is written in."""
    letters = [letter for letter in name if letter.isalpha()]
    return len(letters) >= 2 or any(not letter.isascii() for letter in letters)


def needles_of(people: Iterable[Person], references: Iterable[UUID], *, constants: Iterable[str] = ()) -> Needles:
    """Return everything to look for. A name that is also a word of our own `constants` counts as a full name only."""
    ours = {token for text in constants for token in tokens(text)}
    found = Needles()
    for person in people:
        _add_names(found, person, ours)
        for text in _dates(person.date_of_birth):
            found.add(Kind.DATE_OF_BIRTH, text)
        found.add(Kind.EMAIL, person.email)
        found.add_joined(Kind.EMAIL, person.email)
        found.add(Kind.EXTERNAL_ID, person.external_id)
        found.add_joined(Kind.EXTERNAL_ID, person.external_id)
        digits = "".join(filter(str.isdigit, person.phone))
        if digits:
            found.add(Kind.PHONE, person.phone)
            found.add_joined(Kind.PHONE, digits[-PHONE_DIGITS:])
    for reference in references:
        found.add(Kind.REFERENCE, str(reference))
        found.add_joined(Kind.REFERENCE, reference.hex)
    return found


def _add_names(found: Needles, person: Person, ours: set[str]) -> None:
    for full in (f"{person.first_name} {person.last_name}", f"{person.last_name} {person.first_name}"):
        found.add(Kind.FULL_NAME, full)
        found.add_joined(Kind.FULL_NAME, full)
    for name in (person.first_name, person.last_name):
        if is_telling(name) and not ours.issuperset(tokens(name)):
            found.add(Kind.NAME, name)


def _dates(day: date) -> Iterator[str]:
    yield from (day.strftime(form) for form in (*_SEPARATED_DATES, *_JOINED_DATES))
    # As people write them, without zeros in front.
    for month in (day.month, f"{day:%b}", f"{day:%B}"):
        yield f"{month} {day.day} {day.year}"
        yield f"{day.day} {month} {day.year}"
