"""What the import of patient accounts refuses: row, column and code, and nothing of the file is written."""

import threading
from datetime import timedelta

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from audit.models import AuditEntry
from offices.csv_rows import FileUnusable
from offices.import_findings import SHOWN, ImportClash
from offices.locking import OfficeBusy
from offices.models import Office
from patients import patient_import
from patients.identity import PatientIdentity
from patients.import_accounts import AccountBook
from patients.models import ActivityPeriod, Patient
from patients.patient_import import import_patients
from tests.patients.csv_files import NOW, office, patient, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def take(tmp_path):
    office()

    def take(*rows, path=None):
        return import_patients(path=path or write(tmp_path / "patients.csv", rows), actor="test", now=NOW)

    return take


def _problems(summary):
    return [(problem.row, problem.field, problem.code) for problem in summary.problems]


def _nothing_written():
    return not any(model.objects.exists() for model in (Patient, PatientIdentity, ActivityPeriod, AuditEntry))


@pytest.mark.parametrize(
    ("cells", "field", "code"),
    [
        ({"office_reference": ""}, "office_reference", "required"),
        ({"office_reference": "clinic-9"}, "office_reference", "unknown_office"),
        ({"office_reference": "Clinic-1"}, "office_reference", "unknown_office"),
        ({"external_id": ""}, "external_id", "required"),
        ({"external_id": "  "}, "external_id", "required"),
        ({"external_id": "x" * 101}, "external_id", "too_long"),
        ({"first_name": "x" * 201}, "first_name", "too_long"),
        ({"last_name": "x" * 201}, "last_name", "too_long"),
        ({"email": "x" * 255}, "email", "too_long"),
        ({"phone": "5" * 51}, "phone", "too_long"),
        ({"phone": "5\x005"}, "phone", "nul_character"),
        ({"date_of_birth": "29.02.1980"}, "date_of_birth", "invalid_date"),
        ({"date_of_birth": "1981-02-29"}, "date_of_birth", "invalid_date"),
        ({"date_of_birth": "19800229"}, "date_of_birth", "invalid_date"),
        ({"date_of_birth": "2026-03-01"}, "date_of_birth", "future_date"),
        ({"activated_at": ""}, "activated_at", "required"),
        ({"activated_at": "yesterday"}, "activated_at", "invalid_time"),
        ({"activated_at": "2025-06-01"}, "activated_at", "invalid_time"),
        ({"activated_at": "2025-06-31T00:00:00Z"}, "activated_at", "invalid_time"),
        ({"activated_at": "0001-01-01T00:00:00+14:00"}, "activated_at", "invalid_time"),
        ({"activated_at": "2025-06-01T00:00:00"}, "activated_at", "time_without_zone"),
        ({"activated_at": "2026-02-01T12:00:01Z"}, "activated_at", "future_time"),
        ({"deactivated_at": "soon"}, "deactivated_at", "invalid_time"),
        ({"deactivated_at": "2025-07-01T00:00:00"}, "deactivated_at", "time_without_zone"),
        ({"deactivated_at": "2026-02-01T12:00:01Z"}, "deactivated_at", "future_time"),
        ({"deactivated_at": "2025-06-01T12:00:00Z"}, "deactivated_at", "empty_period"),
        ({"deactivated_at": "2025-05-01T12:00:00Z"}, "deactivated_at", "empty_period"),
    ],
)
def test_one_bad_cell_refuses_the_file(take, cells, field, code):
    summary = take(patient("MRN-0"), patient("MRN-1", **cells))
    assert _problems(summary) == [(3, field, code)]
    assert summary.counts["rejected"] == 1
    assert summary.counts["patients_created"] == 0
    assert _nothing_written()


def test_this_very_instant_is_not_the_future(take):
    assert take(patient(start=NOW.isoformat())).rejected == 0


def test_every_error_of_every_row_is_told(take):
    summary = take(patient("", "x", "y"), patient(), patient("MRN-2", office_reference="nobody"))
    assert _problems(summary) == [
        (2, "external_id", "required"), (2, "activated_at", "invalid_time"), (2, "deactivated_at", "invalid_time"),
        (4, "office_reference", "unknown_office"),
    ]  # fmt: skip
    assert (summary.counts["rows"], summary.counts["rejected"]) == (3, 2)


def test_at_most_100_problems_are_shown_and_the_rest_is_counted(take):
    summary = take(*(patient(f"MRN-{number}", start="") for number in range(SHOWN + 23)))
    assert (len(summary.problems), summary.hidden_problems) == (SHOWN, 23)
    assert summary.counts["rejected"] == SHOWN + 23


@pytest.mark.parametrize("chunk", [1, 1_000])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("2025-06-01", "2025-08-01"), ("2025-07-01", "2025-09-01")),
        (("2025-06-01", "2025-09-01"), ("2025-07-01", "2025-08-01")),
        (("2025-07-01", "2025-08-01"), ("2025-06-01", "2025-09-01")),
        (("2025-06-01", ""), ("2025-07-01", "2025-08-01")),
        (("2025-07-01", ""), ("2025-06-01", "")),
        (("2025-07-01", "2025-08-01"), ("2025-06-01", "")),
    ],
)
def test_periods_that_overlap_are_refused_in_one_file_and_in_two(take, monkeypatch, chunk, first, second):
    monkeypatch.setattr(patient_import, "_CHUNK_ROWS", chunk)
    together = take(patient("MRN-1", *first), patient("MRN-1", *second))
    assert _problems(together) == [(3, "activated_at", "overlapping_periods")]
    assert _nothing_written()
    take(patient("MRN-1", *first))
    assert _problems(take(patient("MRN-1", *second))) == [(2, "activated_at", "overlapping_periods")]


def test_an_end_that_is_known_is_not_changed(take):
    take(patient(end="2025-07-01"))
    assert _problems(take(patient(end="2025-07-02"))) == [(2, "deactivated_at", "end_differs")]


def test_an_older_file_that_does_not_know_the_end_does_not_reopen_the_period(take):
    take(patient(end="2025-07-01"))
    summary = take(patient(end=""))
    assert (_problems(summary), summary.counts["unchanged"]) == ([], 1)


def test_two_ends_for_one_period_are_refused(take):
    summary = take(patient(end="2025-07-01"), patient(end="2025-07-02"))
    assert _problems(summary) == [(3, "deactivated_at", "end_differs")]


def test_an_identity_that_cannot_be_read_is_a_problem_of_its_row(take):
    take(patient())
    PatientIdentity.objects.update(sealed="1:unknown:AAAA")
    assert _problems(take(patient())) == [(2, "external_id", "identity_unreadable")]


def test_a_row_that_cannot_be_read_is_named_with_the_others(take, tmp_path):
    path = write(tmp_path / "broken.csv", [patient(), patient("MRN-2", start="x")])
    path.write_bytes(path.read_bytes() + b"clinic-1,MRN\xff,,,,,,,\r\nclinic-1,2\r\n")
    assert _problems(take(path=path)) == [
        (3, "activated_at", "invalid_time"), (4, "external_id", "not_utf8"), (5, "", "wrong_cell_count"),
    ]  # fmt: skip


def test_an_unusable_file_is_refused_before_anything(take, tmp_path):
    with pytest.raises(FileUnusable):
        take(path=tmp_path / "absent.csv")


@pytest.mark.parametrize("failure", [IntegrityError, DataError])
def test_what_the_database_refuses_comes_out_without_its_values(take, monkeypatch, failure):
    def refuse(_book, **_options):
        raise failure("Key (external_id)=(MRN-1) already exists")

    monkeypatch.setattr(AccountBook, "write", refuse)
    with pytest.raises(ImportClash) as clash:
        take(patient())
    assert "MRN-1" not in str(clash.value)
    assert clash.value.__context__ is None
    assert _nothing_written()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_office_that_is_held_elsewhere_is_waited_for_and_then_refused(take, tmp_path, monkeypatch):
    monkeypatch.setattr("offices.locking.LOCK_TIMEOUT", "200ms")
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            list(Office.objects.select_for_update())
            held.set()
            done.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    try:
        with pytest.raises(OfficeBusy):
            take(patient())
    finally:
        done.set()
        holder.join()
    assert _nothing_written()
    assert take(patient()).counts["patients_created"] == 1


@pytest.mark.parametrize("beyond", [timedelta(0), timedelta(days=1)])
def test_a_person_may_be_born_today_in_any_zone(take, beyond):
    assert take(patient(date_of_birth=(NOW + beyond).date().isoformat())).rejected == 0
