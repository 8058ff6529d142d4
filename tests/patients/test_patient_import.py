"""The import of patient accounts: what is written, that a second time changes nothing, and how much memory it takes."""

import random
import tracemalloc
from datetime import date

import pytest
from django.test import override_settings

from audit.chain import verify
from audit.models import AuditEntry
from offices.models import Office
from patients import import_survey, patient_import
from patients.identity import PatientIdentity
from patients.models import ActivityPeriod, Patient
from patients.patient_import import import_patients
from patients.registration import register_patient
from tests.patients.csv_files import NOW, day, identities, office, patient, periods, write

pytestmark = pytest.mark.django_db

NOTHING = dict.fromkeys((*patient_import.COUNTS, "rejected"), 0)


@pytest.fixture
def take(tmp_path):
    office()

    def take(*rows, **options):
        path = write(tmp_path / "patients.csv", rows)
        return import_patients(**{"path": path, "actor": "test", "now": NOW} | options)

    return take


@pytest.fixture(params=[1_000, 1], ids=["one chunk", "a chunk for each row"])
def any_chunks(request, monkeypatch):
    monkeypatch.setattr(patient_import, "_CHUNK_ROWS", request.param)
    monkeypatch.setattr(import_survey, "_CHUNK_ROWS", request.param)


def _counts(summary, **expected):
    assert dict(summary.counts) == NOTHING | expected, summary.problems


# --- What is written ---
def test_a_row_makes_an_account_with_a_sealed_identity_and_a_period(take):
    _counts(take(patient(end="2025-07-01")), rows=1, patients_created=1, periods_created=1)
    sealed = PatientIdentity.objects.get()
    assert Patient.objects.get().pk == sealed.patient_id
    assert sealed.open().first_name == "Ada"
    assert "Ada" not in sealed.sealed + sealed.data_key
    assert periods() == [(day("2025-06-01"), day("2025-07-01"))]


def test_only_the_record_number_and_the_beginning_are_required(take):
    bare = patient(first_name="", last_name="", date_of_birth="", email="", phone="")
    _counts(take(bare), rows=1, patients_created=1, periods_created=1)
    assert identities()["MRN-1"].open().date_of_birth is None


@pytest.mark.parametrize(
    "awkward", ["=1+1", "+Ada", "-Bea", "@Cato", '=HYPERLINK("x")', "O'Brien", "  x  ", "小龍", "a\tb\nc"]
)
def test_awkward_names_are_kept_as_they_are(take, awkward):
    take(patient(first_name=awkward, last_name=awkward))
    assert identities()["MRN-1"].open().first_name == awkward


def test_rows_with_the_same_record_number_are_one_patient(take, any_chunks):
    summary = take(
        patient("MRN-1", "2025-09-01"), patient("MRN-2"), patient("MRN-1", "2025-06-01", "2025-07-01"),
        patient("MRN-1", "2025-07-02", "2025-08-01"),
    )  # fmt: skip
    _counts(summary, rows=4, patients_created=2, periods_created=4)
    assert len(periods("MRN-1")) == 3


def test_blanks_around_a_record_number_make_no_second_patient(take, any_chunks):
    rows = patient(" MRN-1", "2025-06-01"), patient("MRN-1 ", "2025-06-01", "2025-07-01", first_name="Bea")
    _counts(take(*rows), rows=2, patients_created=1, periods_created=1, identities_updated=1)
    _counts(take(*rows), rows=2, unchanged=2)
    registered = register_patient(
        office_id=Office.objects.get().pk, external_id="MRN-1 ", first_name="Bea", last_name="Abbott",
        date_of_birth=date(1980, 2, 29), email="ada@mail.example", phone="+14425550100", actor="test", now=NOW,
    )  # fmt: skip
    assert not registered.created


def test_periods_that_touch_are_taken(take, any_chunks):
    take(patient("MRN-1", "2025-07-01"), patient("MRN-1", "2025-06-01", "2025-07-01"))
    assert periods() == [(day("2025-06-01"), day("2025-07-01")), (day("2025-07-01"), None)]


def test_the_same_record_number_at_two_offices_is_two_patients(take):
    office("clinic-2")
    summary = take(patient(), patient(office_reference="clinic-2"))
    _counts(summary, rows=2, patients_created=2, periods_created=2)
    assert len(set(PatientIdentity.objects.values_list("external_id_index", flat=True))) == 2


def test_instants_are_the_same_whatever_zone_they_are_written_in(take):
    take(patient(start="2025-06-01T09:00:00-05:00"))
    again = take(patient(start="2025-06-01 14:00Z"))
    _counts(again, rows=1, unchanged=1)


def test_a_canceled_office_still_takes_its_history(take):
    Office.objects.get().status_changes.update(status="canceled")
    _counts(take(patient()), rows=1, patients_created=1, periods_created=1)


# --- Again ---
def test_a_second_import_changes_nothing_and_says_so(take, any_chunks):
    rows = [patient("MRN-1", "2025-06-01", "2025-07-01"), patient("MRN-1", "2025-07-01"), patient("MRN-2")]
    take(*rows)
    before = _everything()
    _counts(take(*rows), rows=3, unchanged=3)
    assert _everything() == before


def test_an_open_end_is_filled_in_and_the_time_of_writing_kept(take):
    take(patient())
    _counts(take(patient(end="2025-07-01")), rows=1, periods_ended=1)
    period = ActivityPeriod.objects.get()
    assert period.deactivated_at == day("2025-07-01")
    assert period.deactivation_recorded_at >= NOW  # read under the locks, so never before what was committed meanwhile


def test_a_new_period_may_stand_above_the_row_that_ends_the_one_before(take, any_chunks):
    take(patient("MRN-1", "2025-06-01"))
    summary = take(patient("MRN-1", "2025-08-01"), patient("MRN-1", "2025-06-01", "2025-07-01"))
    _counts(summary, rows=2, periods_created=1, periods_ended=1)
    assert periods() == [(day("2025-06-01"), day("2025-07-01")), (day("2025-08-01"), None)]


def test_an_empty_end_gives_way_to_the_end_another_row_tells(take, any_chunks):
    rows = [patient(end="2025-07-01"), patient()]
    for order in (rows, rows[::-1]):
        take(*order)
        assert periods() == [(day("2025-06-01"), day("2025-07-01"))]
        _counts(take(*order), rows=2, unchanged=2)


def test_a_changed_identity_is_sealed_again_and_counted(take):
    take(patient())
    reference = Patient.objects.get().pk
    _counts(take(patient(last_name="Marchetti", phone="")), rows=1, identities_updated=1)
    opened = identities()["MRN-1"].open()
    assert (opened.last_name, opened.phone, Patient.objects.get().pk) == ("Marchetti", "", reference)


def test_the_last_row_says_who_a_person_is_and_the_earlier_ones_are_told(take, any_chunks):
    rows = [patient(start="2025-06-01", end="2025-07-01", last_name="Old"), patient(start="2025-08-01")]
    summary = take(*rows)
    assert identities()["MRN-1"].open().last_name == "Abbott"
    assert [(p.row, p.field, p.code) for p in summary.problems] == [(2, "external_id", "identity_superseded")]
    again = take(*rows)
    _counts(again, rows=2, unchanged=2)


def test_an_erased_record_number_becomes_a_new_account(take):
    take(patient())
    PatientIdentity.objects.all().delete()
    _counts(take(patient()), rows=1, patients_created=1, periods_created=1)
    assert Patient.objects.count() == 2


def test_a_patient_is_found_amid_a_rotation_of_the_index_keys(take, settings):
    take(patient())
    old = settings.BLIND_INDEX_KEYS[0]
    with override_settings(BLIND_INDEX_KEYS=["another-index-key-of-enough-length-0123456789", old]):
        _counts(take(patient(end="2025-07-01")), rows=1, periods_ended=1)


def test_a_dry_run_counts_the_same_and_writes_nothing(take):
    _counts(take(patient(), dry_run=True), rows=1, patients_created=1, periods_created=1)
    assert not any(_everything())


# --- The trail ---
def test_each_office_that_changed_gets_one_entry(take, any_chunks):
    office("clinic-2")
    office("clinic-3")
    take(patient("MRN-1", "2025-06-01"), patient("MRN-2"), patient("MRN-1", office_reference="clinic-2"))
    entries = AuditEntry.objects.values_list("stream", "action", "payload")
    assert sorted(entries) == [
        ("office:clinic-1", "patients.imported", '{"patients_created":2,"periods_created":2}'),
        ("office:clinic-2", "patients.imported", '{"patients_created":1,"periods_created":1}'),
    ]
    assert verify() == (2, [])
    take(patient("MRN-1", "2025-06-01"))
    assert AuditEntry.objects.count() == 2


# --- Many rows ---
@pytest.fixture
def fifty_offices(take):
    for number in range(2, 51):
        office(f"clinic-{number}")


def test_twenty_thousand_scattered_rows_are_taken(take, tmp_path, fifty_offices):
    path = write(tmp_path / "many.csv", _scattered(20_000))
    _counts(take(path=path), rows=20_000, patients_created=4_000, periods_created=20_000)


@pytest.mark.parametrize(
    ("chunk", "few", "many"),
    [(250, 2_000, 8_000), pytest.param(1_000, 5_000, 20_000, marks=pytest.mark.full)],
    ids=["sample", "full"],
)
def test_four_times_the_rows_need_no_more_memory(take, tmp_path, fifty_offices, monkeypatch, chunk, few, many):
    monkeypatch.setattr(patient_import, "_CHUNK_ROWS", chunk)
    monkeypatch.setattr(import_survey, "_CHUNK_ROWS", chunk)
    peaks = {}
    tracemalloc.start()
    try:
        # The first two fill what the database driver keeps of the last hundred statements.
        for count in (few - 2, few - 1, few, many):
            path = write(tmp_path / f"{count}.csv", _scattered(count))
            tracemalloc.reset_peak()
            take(path=path)
            peaks[count] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peaks[many] < 1.3 * peaks[few] + 1_000_000, peaks


def _scattered(count):
    """Five periods each, the rows of one person all over the file."""
    rows = [
        patient(f"M{count}-{number // 5}", f"2025-0{number % 5 + 1}-01", f"2025-0{number % 5 + 2}-01",
                office_reference=f"clinic-{number // 5 % 50 + 1}")
        for number in range(count)
    ]  # fmt: skip
    random.Random(count).shuffle(rows)
    return rows


def _everything():
    return [
        list(model.objects.order_by("pk").values()) for model in (Patient, PatientIdentity, ActivityPeriod, AuditEntry)
    ]
