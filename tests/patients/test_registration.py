"""Registering one patient account."""

from datetime import date
from uuid import uuid4

import pytest

from audit.models import AuditEntry
from offices.locking import OfficeNotFound
from patients.identity import PatientIdentity
from patients.models import ActivityPeriod, Patient
from patients.patient_import import import_patients
from patients.registration import IdentityInvalid, RecordNumberTaken, find_identities, register_patient
from tests.patients.csv_files import NOW, office, patient, write

pytestmark = pytest.mark.django_db

ADA = {
    "external_id": "MRN-1", "first_name": "Ada", "last_name": "Abbott", "date_of_birth": date(1980, 2, 29),
    "email": "ada@mail.example", "phone": "+14425550100",
}  # fmt: skip


def _register(at=None, **changes):
    return register_patient(**{"office_id": (at or office()).pk, "actor": "test", "now": NOW, **ADA} | changes)


def test_an_account_is_made_not_yet_active_with_a_sealed_identity():
    registration = _register()
    assert registration.created
    assert PatientIdentity.objects.get(patient=registration.patient).open().last_name == "Abbott"
    assert not ActivityPeriod.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.stream, entry.action) == ("office:clinic-1", "patient.registered")
    assert entry.payload == f'{{"patient":"{registration.patient.pk}"}}'


def test_registering_the_same_person_again_changes_nothing():
    clinic = office()
    first, second = _register(clinic), _register(clinic)
    assert (second.created, second.patient) == (False, first.patient)
    assert (Patient.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_a_record_number_that_describes_somebody_else_is_taken():
    clinic = office()
    _register(clinic)
    with pytest.raises(RecordNumberTaken):
        _register(clinic, last_name="Marchetti")


def test_the_same_record_number_is_free_at_another_office():
    assert _register(office()).patient != _register(office("clinic-2")).patient


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"external_id": " "}, "external_id", "required"),
        ({"first_name": "x" * 201}, "first_name", "too_long"),
        ({"phone": "\ud800"}, "phone", "not_utf8"),
        ({"date_of_birth": date(2027, 1, 1)}, "date_of_birth", "future_date"),
    ],
)
def test_an_invalid_identity_is_refused_by_field_and_code(changes, field, code):
    with pytest.raises(IdentityInvalid) as refused:
        _register(**changes)
    assert [(cause.field, cause.code) for cause in refused.value.causes] == [(field, code)]
    assert "\ud800" not in str(refused.value)


def test_an_unknown_office_is_refused():
    with pytest.raises(OfficeNotFound):
        register_patient(office_id=uuid4(), actor="test", now=NOW, **ADA)


def test_the_import_meets_an_account_that_was_registered(tmp_path):
    registered = _register().patient
    summary = import_patients(path=write(tmp_path / "p.csv", [patient()]), actor="test", now=NOW)
    assert (summary.counts["patients_created"], summary.counts["periods_created"]) == (0, 1)
    assert ActivityPeriod.objects.get().patient == registered


def test_record_numbers_of_hundreds_of_offices_are_found_at_once(django_assert_num_queries):
    clinics = [office(f"clinic-{number}") for number in range(450)]
    for clinic in clinics[::50]:
        _register(clinic)
    with django_assert_num_queries(3):
        found = find_identities({(clinic.pk, "MRN-1") for clinic in clinics})
    assert {office_id for office_id, _ in found} == {clinic.pk for clinic in clinics[::50]}
