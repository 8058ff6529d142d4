"""Make the demo's CSV files again, byte for byte: `python -m sandbox.demo_data.generate`.

Every row is drawn from a generator of its own, seeded with the run's seed and the row's number, by `random()` alone:
the one method whose sequence Python promises to keep. So a row depends on no other, and any number needs no memory.
"""

import csv
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from sandbox.demo_data.names import AWKWARD, AWKWARD_OFFICES, FIRST, KINDS, LAST, PLACES

T = TypeVar("T")
Row = dict[str, str]

FOLDER = Path(__file__).resolve().parent
OFFICES, PATIENTS, SEED = 40, 1_200, 20_260_131

OFFICE_COLUMNS = (
    "reference", "name", "billing_email", "timezone", "billing_cycle_anchor_date", "subscription_status", "plan",
    "collection_method",
)  # fmt: skip
PATIENT_COLUMNS = (
    "office_reference", "external_id", "first_name", "last_name", "date_of_birth", "email", "phone", "activated_at",
    "deactivated_at",
)  # fmt: skip

# Three change their clocks on the same night, each at its own instant; the last never does.
ZONES = ("America/New_York", "America/Chicago", "America/Los_Angeles", "America/Phoenix")
# The ends of the month are where cycles go wrong; eleven anchors against four zones give every pair.
ANCHORS = tuple(
    date.fromisoformat(day)
    for day in (
        "2025-01-01", "2025-05-31", "2025-01-15", "2024-02-29", "2025-03-30", "2025-06-10", "2025-08-31", "2025-02-28",
        "2025-04-29", "2024-12-31", "2025-07-20",
    )
)  # fmt: skip

# Activity lies in this window, in half-hour steps. The demo imports at 2026-02-01T12:00Z; nothing may lie ahead of it.
FIRST_ACTIVITY = datetime(2025, 6, 1, tzinfo=UTC)
LAST_ACTIVITY = datetime(2026, 1, 31, tzinfo=UTC)
STEP = timedelta(minutes=30)
STEPS = int((LAST_ACTIVITY - FIRST_ACTIVITY) / STEP)

# Spread over the numbers of the offices: one in ten on trial, and one of each other kind in forty.
STATUSES = {17: "canceled", 18: "inactive", 26: "past_due"} | dict.fromkeys((4, 14, 24, 34), "trialing")


class Rows(NamedTuple):
    """Both files, row by row; each can be read once."""

    offices: Iterator[Row]
    patients: Iterator[Row]


def rows(*, offices: int, patients: int, seed: int) -> Rows:
    """Return the rows of so many clinics and people (one row for each period of activity), made as they are read."""
    return Rows(
        offices=(_office(number, seed) for number in range(offices)),
        patients=_patient_rows(offices=offices, patients=patients, seed=seed),
    )


def write(folder: Path = FOLDER, *, offices: int = OFFICES, patients: int = PATIENTS, seed: int = SEED) -> None:
    """Write `offices.csv` and `patients.csv` into `folder`."""
    made = rows(offices=offices, patients=patients, seed=seed)
    _write_csv(folder / "offices.csv", OFFICE_COLUMNS, made.offices)
    _write_csv(folder / "patients.csv", PATIENT_COLUMNS, made.patients)


def _write_csv(path: Path, columns: Sequence[str], lines: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


# --- Offices ---
def _office(number: int, seed: int) -> Row:
    random = Random(f"{seed}/office/{number}")
    name = _office_name(number)
    mailbox = "maria.delgado" if number % 40 == 9 else "billing"  # a personal address is what approval must catch
    return {
        "reference": _reference(number),
        "name": name,
        "billing_email": f"{mailbox}@{_slug(name)}-{number + 1}.example",
        "timezone": _zone(number),
        "billing_cycle_anchor_date": _anchor(number).isoformat(),
        "subscription_status": STATUSES.get(number % 40, "" if number % 9 == 5 else "active"),
        "plan": _pick(random, ("standard", "")),
        "collection_method": _pick(random, ("send_invoice", "charge_automatically", "charge_automatically", "")),
    }


def _office_name(number: int) -> str:
    if number % 5 == 1:
        return AWKWARD_OFFICES[number // 5 % len(AWKWARD_OFFICES)]
    return f"{_place(number)} {KINDS[number % len(KINDS)]}"


def _place(number: int) -> str:
    return PLACES[number % len(PLACES)]


def _reference(number: int) -> str:
    return f"clinic-{number + 1:03d}"


def _zone(number: int) -> str:
    return ZONES[number % len(ZONES)]


def _anchor(number: int) -> date:
    return ANCHORS[number % len(ANCHORS)]


# --- Patients ---
def _patient_rows(*, offices: int, patients: int, seed: int) -> Iterator[Row]:
    person = 0
    for number in range(offices):
        for chart in range(_size(number, offices=offices, patients=patients)):
            who = _person(person, office=number, chart=chart, seed=seed)
            random = Random(f"{seed}/activity/{person}")
            write_time = _as_utc if random.random() < 0.5 else partial(_in_zone, zone=ZoneInfo(_zone(number)))
            for start, end in _periods(random, office=number):
                yield who | {"activated_at": write_time(start), "deactivated_at": write_time(end) if end else ""}
            person += 1


def _size(number: int, *, offices: int, patients: int) -> int:
    """Share the people out by weight: clinics of several sizes, and the last of several has nobody yet."""
    with_patients = max(offices - 1, 1)
    total = _weight_before(with_patients)
    upper, lower = _weight_before(min(number + 1, with_patients)), _weight_before(min(number, with_patients))
    return patients * upper // total - patients * lower // total


def _weight_before(number: int) -> int:
    """Return the sum of the weights 1, 4, 7, 10, 1, 4, ... of the offices before this one."""
    return number // 4 * 22 + (0, 1, 5, 12)[number % 4]


def _person(person: int, *, office: int, chart: int, seed: int) -> Row:
    random = Random(f"{seed}/person/{person}")
    first, last = _pick(random, FIRST), _pick(random, LAST)
    if person % 12 == 5:
        first, last = AWKWARD[person // 12 % len(AWKWARD)]
    elif person % 17 == 3:
        last = _place(office)  # named like the clinic, or like the street it lies in
    return {
        "office_reference": _reference(office),
        "external_id": _external_id(office, chart),
        "first_name": first,
        "last_name": last,
        "date_of_birth": (date(1936, 1, 1) + timedelta(days=int(random.random() * 31_000))).isoformat(),
        "email": "" if person % 11 == 7 else f"{_slug(first)}.{_slug(last)}{person}@mail.example",
        "phone": _phone(random, person),
    }


def _external_id(office: int, chart: int) -> str:
    """Record numbers in the styles of several systems; two neighbouring clinics use the same numbers."""
    if office % 4 in {1, 2}:
        return f"CHART-{chart + 1:06d}"
    return f"MRN{office + 1:04d}-{chart + 1:06d}"


def _phone(random: Random, person: int) -> str:
    """Return a number of the range kept for fiction (555-0100 to 555-0199), as people type it; some give none."""
    area, line = 201 + int(random.random() * 700), 100 + person % 100
    styles = (f"+1 {area} 555 0{line}", f"({area}) 555-0{line}", f"{area}.555.0{line}", f"+1{area}5550{line}", "")
    return _pick(random, styles)


# --- Activity ---
def _periods(random: Random, *, office: int) -> list[tuple[datetime, datetime | None]]:
    """Draw one to three half-open periods in order: apart or touching, the last one ended or still open."""
    boundary = _last_cycle_start(office)
    kind = random.random()
    if kind < 0.04:
        return [(boundary, None)]
    if kind < 0.07:
        return [(min(_instant(random), boundary - STEP), boundary)]
    count = _pick(random, (1, 1, 1, 1, 2, 2, 3))
    instants = sorted(_distinct_instants(random, 2 * count))
    if random.random() < 0.3:
        instants[2::2] = instants[1:-1:2]  # each later period begins where the one before ended
    ends: list[datetime | None] = [*instants[1::2]]
    if random.random() < 0.75:
        ends[-1] = None
    return list(zip(instants[0::2], ends, strict=True))


def _last_cycle_start(office: int) -> datetime:
    """Return the latest boundary of the office's cycles inside the window: the instant where off-by-one lives."""
    day = _anchor(office).day
    # The midnight that begins 31 January lies past the window's end in every zone here.
    local = date(2025, 12, 31) if day == 31 else date(2026, 1, day)
    return datetime.combine(local, time.min, ZoneInfo(_zone(office)))


def _distinct_instants(random: Random, count: int) -> set[datetime]:
    found: set[datetime] = set()
    while len(found) < count:
        found.add(_instant(random))
    return found


def _instant(random: Random) -> datetime:
    return FIRST_ACTIVITY + int(random.random() * STEPS) * STEP


def _as_utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _in_zone(instant: datetime, zone: ZoneInfo) -> str:
    """Write a time as a clinic's own system does: local, with the offset of that day."""
    return instant.astimezone(zone).isoformat()


# --- Drawing ---
def _pick(random: Random, options: Sequence[T]) -> T:
    return options[int(random.random() * len(options))]


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join("".join(c if c.isalnum() else " " for c in ascii_text).split()) or "x"


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
