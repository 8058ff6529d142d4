"""Who may see who a patient is: by permission, for a reason, for 15 minutes, and never unrecorded."""

import json
from datetime import date, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from audit.models import AuditEntry
from patients.erasure import erase_patient_identity
from patients.identity_reveal import (
    LASTS,
    LONGEST_REASON,
    PERMISSION,
    GrantExpired,
    GrantNotFound,
    IdentityNotFound,
    ReasonMissing,
    RevealNotPermitted,
    Viewer,
    read_revealed,
    reveal_identity,
)
from patients.registration import register_patient
from patients.reveal_grant import RevealGrant
from tests.builders import ACTOR, make_office, make_patient, utc

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-01T12:00")
ANN = Viewer(actor="staff:ann", may_reveal=True)
BOB = Viewer(actor="staff:bob", may_reveal=True)
REASON = "Zebulon Quist calls about the bill"


@pytest.fixture
def patient():
    return register_patient(
        office_id=make_office().pk, external_id="MRN-777001", first_name="Zebulon", last_name="Quist",
        date_of_birth=date(1931, 7, 4), email="zq@mail.example", phone="+14425550199", actor=ACTOR, now=NOW,
    ).patient  # fmt: skip


def reveal(patient, **changes):
    return reveal_identity(**{"patient_id": patient.pk, "viewer": ANN, "reason": REASON, "now": NOW} | changes)


def read(grant, **changes):
    return read_revealed(**{"grant_id": grant.pk, "viewer": ANN, "now": NOW} | changes)


def trail():
    return list(AuditEntry.objects.exclude(action="patient.registered").order_by("pk").values_list("action", "actor"))


def test_a_permitted_person_with_a_reason_sees_who_it_is(patient):
    assert read(reveal(patient)).last_name == "Quist"
    assert trail() == [("identity.revealed", "staff:ann"), ("identity.read", "staff:ann")]


def test_each_read_is_recorded(patient):
    grant = reveal(patient)
    for _ in range(3):
        read(grant)
    assert [action for action, _ in trail()].count("identity.read") == 3


@pytest.mark.parametrize("after", [LASTS, LASTS + timedelta(days=1), timedelta(seconds=-1)])
def test_a_grant_is_over_after_a_quarter_of_an_hour_and_when_the_clock_runs_backwards(patient, after):
    grant = reveal(patient)
    with pytest.raises(GrantExpired):
        read(grant, now=NOW + after)
    assert ("identity.read", "staff:ann") not in trail()


def test_a_grant_lasts_until_the_last_moment_of_the_quarter_hour(patient):
    assert timedelta(minutes=15) == LASTS
    assert read(reveal(patient), now=NOW + LASTS - timedelta(microseconds=1)).first_name == "Zebulon"


def test_a_grant_is_for_the_person_who_asked_and_to_others_it_does_not_exist(patient):
    grant = reveal(patient)
    with pytest.raises(GrantNotFound) as not_theirs:
        read(grant, viewer=BOB)
    with pytest.raises(GrantNotFound) as not_there:
        read_revealed(grant_id=uuid4(), viewer=BOB, now=NOW)
    assert str(not_theirs.value) == str(not_there.value)


@pytest.mark.parametrize("unsure", [False, None, 1, "yes"])
def test_anything_but_a_plain_yes_is_refused_and_the_attempt_recorded(patient, unsure):
    with pytest.raises(RevealNotPermitted):
        reveal(patient, viewer=Viewer("staff:eve", unsure))
    assert not RevealGrant.objects.exists()
    assert trail() == [("identity.reveal_refused", "staff:eve")]


def test_a_permission_taken_away_within_the_quarter_hour_ends_the_grant(patient):
    grant = reveal(patient)
    with pytest.raises(RevealNotPermitted):
        read(grant, viewer=Viewer(ANN.actor, may_reveal=False))


@pytest.mark.parametrize("reason", ["", "  \n\t", "x" * (LONGEST_REASON + 1)])
def test_without_a_reason_nobody_sees_anything(patient, reason):
    with pytest.raises(ReasonMissing):
        reveal(patient, reason=reason)
    assert not RevealGrant.objects.exists()


def test_the_trail_and_the_database_hold_neither_the_reason_nor_the_person(patient):
    read(reveal(patient))
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason FROM patients_revealgrant")
        (stored,) = cursor.fetchone()
    told = " ".join(AuditEntry.objects.values_list("payload", flat=True)) + stored
    assert not [word for word in ("Zebulon", "Quist", "calls", "MRN", "1931", "mail.example") if word in told]
    assert RevealGrant.objects.get().reason == REASON
    for entry in AuditEntry.objects.exclude(action="patient.registered"):
        assert set(json.loads(entry.payload)) == {"patient", "grant"}


def test_an_account_that_does_not_exist_or_has_no_identity_has_nothing_to_reveal(patient):
    with pytest.raises(IdentityNotFound):
        reveal(SimpleNamespace(pk=uuid4()))
    with pytest.raises(IdentityNotFound):
        reveal(make_patient(make_office()))


def test_erasure_ends_a_grant_that_still_lasts(patient):
    grant = reveal(patient)
    erase_patient_identity(patient_id=patient.pk, actor=ACTOR, now=NOW)
    with pytest.raises(GrantNotFound):
        read(grant)
    with pytest.raises(IdentityNotFound):
        reveal(patient)


def test_the_clear_identity_does_not_print(patient):
    clear = read(reveal(patient))
    assert "Quist" not in f"{clear!r} {clear} {RevealGrant.objects.get()} {RevealGrant.objects.get()!r}"


# --- Who is asking ---
def _user(**fields):
    return User.objects.create(username="ann", **fields)


def test_the_permission_exists_and_makes_a_viewer_who_may():
    user = _user()
    assert Viewer.of(user) == Viewer("staff:ann", may_reveal=False)
    app, codename = PERMISSION.split(".")
    user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    assert Viewer.of(User.objects.get()) == Viewer("staff:ann", may_reveal=True)


def test_a_person_who_was_locked_out_may_not_whatever_the_permissions():
    assert Viewer.of(_user(is_superuser=True)).may_reveal is True
    User.objects.update(is_active=False)
    assert Viewer.of(User.objects.get()).may_reveal is False


def test_nobody_in_particular_may_not():
    nobody = SimpleNamespace(is_active=True, get_username=lambda: "", has_perm=lambda _perm: True)
    assert Viewer.of(nobody).may_reveal is False
