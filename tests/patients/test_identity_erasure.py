"""Erasure: who the patient was is gone for good, what was billed is as it was."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.chain import verify
from audit.models import AuditEntry
from billing.activation import activate_patient
from billing.models import LineItem
from patients.erasure import BACKUPS_KEEP, Erasure, PatientNotFound, erase_patient_identity
from patients.identity import PatientIdentity
from patients.identity_reveal import Viewer, reveal_identity
from patients.identity_tokens import PatientToken
from patients.known_patients import matches
from patients.models import ActivityPeriod, Patient
from patients.registration import find_identities, register_patient
from patients.reveal_grant import RevealGrant
from tests.builders import ACTOR, make_office, utc
from tests.offices.rotation_scene import identity

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-01T12:00")
PERSON = identity(4711)


def register(office):
    fields = {name: getattr(PERSON, name) for name in type(PERSON).__slots__}
    return register_patient(office_id=office.pk, actor=ACTOR, now=NOW, **fields).patient


@pytest.fixture
def office():
    return make_office()


@pytest.fixture
def patient(office):
    """An active, billed account whose identity somebody has leave to see."""
    made = register(office)
    activate_patient(office_id=office.pk, patient_id=made.pk, actor=ACTOR, now=NOW)
    reveal_identity(patient_id=made.pk, viewer=Viewer("staff:ann", may_reveal=True), reason="a call", now=NOW)
    return made


def erase(patient):
    return erase_patient_identity(patient_id=patient.pk, actor=ACTOR, now=NOW)


def test_identity_grants_and_tokens_are_destroyed(patient):
    tokens = PatientToken.objects.filter(patient_id=patient.pk).count()
    assert tokens
    assert erase(patient) == Erasure(identities=1, grants=1, tokens=tokens)
    assert not PatientIdentity.objects.exists()
    assert not RevealGrant.objects.exists()
    assert not PatientToken.objects.exists()


def test_no_text_is_recognised_as_the_patients_any_more(office, patient):
    text = f"call {PERSON.first_name} {PERSON.last_name}"
    assert matches(office.pk, text)
    erase(patient)
    assert matches(office.pk, text) == ()


def test_the_identities_of_others_stay(office, patient):
    other = register(make_office())
    erase(patient)
    assert PatientIdentity.objects.get().pk == other.pk
    assert PatientToken.objects.filter(patient_id=other.pk).exists()


def test_what_was_billed_and_the_trail_stay_as_they_were(patient):
    before = [list(model.objects.order_by("pk").values()) for model in (Patient, ActivityPeriod, LineItem)]
    assert all(before)
    erase(patient)
    assert [list(model.objects.order_by("pk").values()) for model in (Patient, ActivityPeriod, LineItem)] == before
    assert verify()[1] == []


def test_it_is_recorded_once_with_the_reference_only(patient):
    assert erase(patient) != erase(patient)
    entry = AuditEntry.objects.get(action="identity.erased")
    assert (json.loads(entry.payload), entry.actor) == ({"patient": str(patient.pk)}, ACTOR)


def test_a_second_time_changes_nothing(patient):
    erase(patient)
    entries = AuditEntry.objects.count()
    assert erase(patient) == Erasure(0, 0, 0)
    assert AuditEntry.objects.count() == entries


def test_the_same_record_number_registered_again_is_a_new_account(office, patient):
    erase(patient)
    again = register(office)
    assert again.pk != patient.pk
    assert find_identities({(office.pk, PERSON.external_id)})[office.pk, PERSON.external_id].pk == again.pk


def test_an_account_that_does_not_exist_is_said_so():
    with pytest.raises(PatientNotFound):
        erase_patient_identity(patient_id=uuid4(), actor=ACTOR, now=NOW)


# --- The command ---
def run(capsys, *arguments):
    call_command("erase_patient_identity", *map(str, arguments))
    return capsys.readouterr().out


def test_the_command_erases_and_says_what_backups_keep_and_for_how_long(capsys, patient):
    printed = run(capsys, patient.pk, "--by", "officer")
    assert "Erased." in printed
    assert BACKUPS_KEEP in printed
    assert AuditEntry.objects.get(action="identity.erased").actor == "command:officer"
    assert "erased before" in run(capsys, patient.pk, "--by", "officer")


def test_a_dry_run_counts_and_erases_nothing(capsys, patient):
    printed = json.loads(run(capsys, patient.pk, "--by", "officer", "--dry-run", "--json"))
    assert (printed["counts"]["identities_erased"], printed["dry_run"]) == (1, True)
    assert PatientIdentity.objects.exists()
    assert not AuditEntry.objects.filter(action="identity.erased").exists()


@pytest.mark.parametrize("account", ["nobody", "0b9d6c1e-7a52-4a6e-9b56-3f1f0a9c2d11"])
def test_a_wrong_id_is_refused_with_exit_code_2(capsys, account):
    with pytest.raises(CommandError) as refused:
        run(capsys, account, "--by", "officer")
    assert refused.value.returncode == 2


def test_the_page_says_the_same_number_of_days_as_the_command():
    page = (Path(__file__).resolve().parents[2] / "docs/compliance/erasure.md").read_text()
    assert "**35 days at most**" in page
    assert "35 days at most" in BACKUPS_KEEP
