"""The demo's clinic network: made again byte for byte, and made of what imports trip over."""

import csv
import tracemalloc
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from sandbox.demo_data import generate
from sandbox.demo_data.names import AWKWARD

DEMO_IMPORT = datetime(2026, 2, 1, 12, tzinfo=UTC)


def _read(name: str) -> list[dict[str, str]]:
    with (generate.FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture(scope="module")
def offices() -> list[dict[str, str]]:
    return _read("offices.csv")


@pytest.fixture(scope="module")
def patients() -> list[dict[str, str]]:
    return _read("patients.csv")


def _periods_of_each(patients) -> dict[tuple[str, str], list[tuple[datetime, datetime | None]]]:
    found = defaultdict(list)
    for row in patients:
        end = row["deactivated_at"]
        found[row["office_reference"], row["external_id"]].append(
            (datetime.fromisoformat(row["activated_at"]), datetime.fromisoformat(end) if end else None)
        )
    return found


@pytest.mark.parametrize("name", ["offices.csv", "patients.csv"])
def test_the_generator_makes_the_committed_files_byte_for_byte(name, tmp_path):
    generate.write(tmp_path)
    assert (tmp_path / name).read_bytes() == (generate.FOLDER / name).read_bytes()


def test_the_columns_are_those_of_the_imports(offices, patients):
    assert ",".join(offices[0]) == (
        "reference,name,billing_email,timezone,billing_cycle_anchor_date,subscription_status,plan,collection_method"
    )
    assert ",".join(patients[0]) == (
        "office_reference,external_id,first_name,last_name,date_of_birth,email,phone,activated_at,deactivated_at"
    )


def test_the_network_has_every_kind_of_office(offices):
    assert len(offices) == 40
    assert len({row["reference"] for row in offices}) == 40
    assert len({row["timezone"] for row in offices}) == 4
    assert {29, 30, 31} < {date.fromisoformat(row["billing_cycle_anchor_date"]).day for row in offices}
    assert Counter(row["subscription_status"] for row in offices) == {
        "active": 30, "": 3, "trialing": 4, "canceled": 1, "inactive": 1, "past_due": 1,
    }  # fmt: skip
    assert {row["collection_method"] for row in offices} == {"", "send_invoice", "charge_automatically"}
    assert {row["plan"] for row in offices} == {"", "standard"}


def test_1200_people_have_one_or_several_periods_and_one_office_has_none(offices, patients):
    periods = _periods_of_each(patients)
    assert len(periods) == 1_200
    assert {len(each) for each in periods.values()} == {1, 2, 3}
    assert {row["reference"] for row in offices} - {row["office_reference"] for row in patients} == {"clinic-040"}


def test_periods_are_half_open_and_never_overlap(patients):
    touching = still_active = 0
    for each in _periods_of_each(patients).values():
        assert all(end is None or start < end for start, end in each)
        for (_, end), (next_start, _) in pairwise(each):
            assert end is not None
            assert end <= next_start
            touching += end == next_start
        still_active += each[-1][1] is None
    assert touching > 50
    assert 600 < still_active < 1_100


def test_nothing_lies_ahead_of_the_demos_import(patients):
    instants = [
        moment for each in _periods_of_each(patients).values() for period in each for moment in period if moment
    ]
    assert max(instants) <= datetime(2026, 1, 31, tzinfo=UTC) < DEMO_IMPORT
    assert all(date.fromisoformat(row["date_of_birth"]) < date(2021, 1, 1) for row in patients)


def test_some_begin_and_some_end_exactly_at_a_cycles_boundary(offices, patients):
    zones = {row["reference"]: ZoneInfo(row["timezone"]) for row in offices}
    days = {row["reference"]: date.fromisoformat(row["billing_cycle_anchor_date"]).day for row in offices}

    def at_boundary(row, column):
        if not row[column]:
            return False
        local = datetime.fromisoformat(row[column]).astimezone(zones[row["office_reference"]])
        return (local.day, local.hour, local.minute) == (days[row["office_reference"]], 0, 0)

    assert sum(at_boundary(row, "activated_at") for row in patients) > 20
    assert sum(at_boundary(row, "deactivated_at") for row in patients) > 20


def test_every_awkward_name_occurs(offices, patients):
    assert set(AWKWARD) <= {(row["first_name"], row["last_name"]) for row in patients}
    words_of_clinics = {word for row in offices for word in row["name"].split()}
    assert len({row["last_name"] for row in patients} & words_of_clinics) > 10


def test_nobody_can_be_reached_under_what_the_files_say(offices, patients):
    addresses = [row["billing_email"] for row in offices] + [row["email"] for row in patients if row["email"]]
    assert all(address.endswith(".example") and address.isascii() for address in addresses)
    digits = ["".join(c for c in row["phone"] if c.isdigit()) for row in patients if row["phone"]]
    assert all(number[-7:-2] == "55501" for number in digits)  # the range kept for fiction


def test_record_numbers_repeat_between_offices(patients):
    offices_of = defaultdict(set)
    for row in patients:
        offices_of[row["external_id"]].add(row["office_reference"])
    assert max(len(each) for each in offices_of.values()) > 10


def test_tens_of_thousands_of_rows_need_no_memory():
    made = generate.rows(offices=200, patients=20_000, seed=7)
    assert sum(1 for _ in made.offices) == 200
    tracemalloc.start()
    people = set()
    for row in made.patients:
        people.add(hash((row["office_reference"], row["external_id"])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(people) == 20_000
    assert peak < 8_000_000  # bytes; the set of hashes above is most of it


def test_another_seed_makes_other_people():
    first, second = (list(islice(generate.rows(offices=3, patients=50, seed=seed).patients, 50)) for seed in (1, 2))
    assert first != second
