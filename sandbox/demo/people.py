"""The people of the demo as their clinics know them: what must never be found in anything that leaves."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

from sandbox.demo_data.names import AWKWARD, FIRST, LAST


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """A made-up patient's direct identifiers. Has no repr, as if they were real."""

    external_id: str
    first_name: str
    last_name: str
    date_of_birth: date
    email: str
    phone: str


def read_people(path: Path) -> list[Person]:
    """Return the people of a patients' CSV file, each once whatever the number of periods."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(map(_person, csv.DictReader(file))))


def _person(row: dict[str, str]) -> Person:
    return Person(
        external_id=row["external_id"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        date_of_birth=date.fromisoformat(row["date_of_birth"]),
        email=row["email"],
        phone=row["phone"],
    )


def newcomers(random: Random) -> Iterator[Person]:
    """Yield people who come to a clinic for the first time meanwhile; every eighth has an awkward name."""
    number = 0
    while True:
        number += 1
        first, last = random.choice(AWKWARD) if number % 8 == 0 else (random.choice(FIRST), random.choice(LAST))
        yield Person(
            external_id=f"WALKIN-2026-{number:05d}",
            first_name=first,
            last_name=last,
            date_of_birth=date(1936 + random.randrange(80), 1 + random.randrange(12), 1 + random.randrange(28)),
            email=f"walk.in.{number}@mail.example",
            phone=f"(646) 555-0{100 + number % 100}",
        )
