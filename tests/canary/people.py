"""Synthetic patients: each identifier is unique, and recognisable in whatever it is part of."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from patients.import_rows import COLUMNS

# No word of ours or of any library holds it, so every hit is a leak; each identifier starts with it.
STEM = "Qzxwyk"
# Unmistakable too: nobody else here was born before 1930. One day for each of 10,000 people.
FIRST_BIRTHDAY = date(1900, 1, 1)
PHONE_STEM = "+1900555"


@dataclass(frozen=True, slots=True)
class Marked:
    """One synthetic person."""

    number: int

    def text(self, kind: str) -> str:
        """Return a marker: the stem, the kind's letter and the number in letters, so that it is a name."""
        letters = "".join(chr(ord("a") + int(digit)) for digit in f"{self.number:05}")
        return f"{STEM}{kind}{letters}"

    @property
    def born(self) -> date:
        return FIRST_BIRTHDAY + timedelta(days=self.number)

    def identity(self) -> dict[str, str]:
        return {
            "external_id": self.text("x").upper() + "-7",
            "first_name": self.text("f"),
            "last_name": self.text("l"),
            "date_of_birth": self.born.isoformat(),
            "email": f"{self.text('e')}@mail.example",
            "phone": f"{PHONE_STEM}{self.number:05}",
        }


def people(number: int) -> list[Marked]:
    return [Marked(each) for each in range(number)]


def write_csv(path: Path, crowd: Sequence[Marked], offices: Sequence[str], **cells: str) -> Path:
    """Write the patients' file of the real import; `cells` replace what every row says."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for person in crowd:
            rows.writerow(
                person.identity()
                | {
                    "office_reference": offices[person.number % len(offices)],
                    "activated_at": "2026-01-02T12:00:00Z",
                    "deactivated_at": "2026-03-02T12:00:00Z" if person.number % 3 == 0 else "",
                }
                | cells
            )
    return path
