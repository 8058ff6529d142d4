"""The console shows who a patient is to whoever may know, for a reason, for a quarter of an hour, and nowhere else."""

from datetime import date, timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from audit.models import AuditEntry
from patients.erasure import erase_patient_identity
from patients.registration import register_patient
from patients.reveal_grant import RevealGrant
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.staff import logged_in, member

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-01T12:00")
PERSON = {
    "external_id": "MRN-777001", "first_name": "Zebulon", "last_name": "Quist", "date_of_birth": date(1931, 7, 4),
    "email": "zq@mail.example", "phone": "+14425550199",
}  # fmt: skip
REASON = "Zebulon Quist calls about the bill"
NAMES = ("Zebulon", "Quist", "MRN-777001", "1931-07-04", "zq@mail.example", "+14425550199", "14425550199")


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def patient():
    return register_patient(office_id=make_office().pk, actor=ACTOR, now=NOW, **PERSON).patient


def staff(name, *codenames):
    user = member(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return logged_in(user)


@pytest.fixture
def officer(db):
    """A privacy officer."""
    return staff("officer", "reveal_identity", "view_patient")


@pytest.fixture
def biller(db):
    return staff("biller", "view_patient")


def ask_address(patient):
    return reverse("admin:patients_revealgrant_ask", args=[patient.pk])


def ask(client, patient, reason=REASON):
    return client.post(ask_address(patient), {"reason": reason})


def actions():
    """What the office's stream says; the log-in and the reads of pages stand in another one."""
    entries = AuditEntry.objects.filter(stream__startswith="office:").exclude(action="patient.registered")
    return list(entries.order_by("pk").values_list("action", "actor"))


def text(answer):
    return answer.content.decode()


def test_the_page_of_the_account_leads_to_the_reveal(officer, patient):
    account = reverse("admin:patients_patient_change", args=[patient.pk])
    assert f"{account.removesuffix('change/')}reveal" in text(officer.get(account))
    asked = officer.get(account.replace("/change/", "/reveal"), follow=True)
    assert asked.redirect_chain[-1][0] == ask_address(patient)
    assert 'name="reason"' in text(asked)


def test_a_permitted_person_with_a_reason_sees_who_it_is_and_both_steps_are_recorded(officer, patient):
    asked = ask(officer, patient)
    assert asked.status_code == 302
    shown = officer.get(asked["Location"])
    assert shown.status_code == 200
    assert [name for name in NAMES[:-1] if name.replace("+", "&#x2B;") not in text(shown).replace("+", "&#x2B;")] == []
    assert actions() == [("identity.revealed", "staff:officer"), ("identity.read", "staff:officer")]
    officer.get(asked["Location"])
    assert len(actions()) == 3  # each read counts


def test_the_identity_stands_in_the_body_alone(officer, patient):
    asked = ask(officer, patient)
    shown = officer.get(asked["Location"])
    title = text(shown).partition("<title>")[2].partition("</title>")[0]
    around = (
        f"{title} {asked['Location']} {asked.headers} {shown.headers} {officer.cookies} {list(LogEntry.objects.all())}"
    )
    assert [name for name in NAMES if name in around] == []
    assert "no-store" in shown["Cache-Control"]
    assert [name for name in NAMES if name in text(shown).replace("<dd", "\n<dd").split("<dl")[0]] == []


def test_the_page_leaves_by_itself_when_the_time_is_over(officer, patient, clock):
    address = ask(officer, patient)["Location"]
    clock.shift(timedelta(minutes=10))
    seconds, _, goes_to = officer.get(address)["Refresh"].partition("; url=")
    assert (int(seconds), goes_to) == (300, reverse("admin:patients_patient_change", args=[patient.pk]))


def test_after_a_quarter_of_an_hour_the_same_address_shows_nothing(officer, patient, clock):
    address = ask(officer, patient)["Location"]
    clock.shift(timedelta(minutes=10))
    assert officer.get("/admin/").status_code == 200  # or the session would end with the grant
    clock.shift(timedelta(minutes=5))
    over = officer.get(address)
    assert over.status_code == 410
    assert "Ask again" in text(over)
    assert [name for name in NAMES if name in text(over)] == []


def test_somebody_elses_grant_is_not_there(officer, patient):
    address = ask(officer, patient)["Location"]
    other = staff("other", "reveal_identity")
    assert other.get(address).status_code == 404
    assert officer.get(address.replace(str(RevealGrant.objects.get().pk), str(patient.pk))).status_code == 404


def test_who_lacks_the_permission_is_told_which_one_and_the_attempt_is_recorded(officer, biller, patient):
    granted = ask(officer, patient)["Location"]
    before = RevealGrant.objects.count()
    for refused in (biller.get(ask_address(patient)), ask(biller, patient), biller.get(granted)):
        assert refused.status_code == 403
        assert "patients.reveal_identity" in text(refused)
        assert "Can see who a patient is" in text(refused)
        assert [name for name in NAMES if name in text(refused)] == []
    assert RevealGrant.objects.count() == before
    assert actions()[-2:] == [("identity.reveal_refused", "staff:biller")] * 2


def test_a_permission_that_was_taken_away_ends_a_running_grant(officer, patient):
    address = ask(officer, patient)["Location"]
    User.objects.get(username="officer").user_permissions.clear()
    assert officer.get(address).status_code == 403


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 1_001])
def test_without_a_fit_reason_nothing_is_revealed(officer, patient, reason):
    assert ask(officer, patient, reason).status_code == 200
    assert not RevealGrant.objects.exists()
    assert actions() == []


def test_the_reason_is_never_shown_again(officer, patient):
    shown = officer.get(ask(officer, patient)["Location"])
    assert REASON not in text(shown)


def test_an_identity_that_was_never_there_or_was_erased_is_said_to_be_gone(officer, patient):
    nobody = make_patient(make_office())
    assert ask(officer, nobody).status_code == 409
    address = ask(officer, patient)["Location"]
    erase_patient_identity(patient_id=patient.pk, actor=ACTOR, now=NOW)
    assert officer.get(address).status_code == 404  # the grant went with the identity


def test_a_stranger_is_sent_to_the_login(client, patient):
    for address in (ask_address(patient), reverse("admin:patients_revealgrant_identity", args=[patient.pk])):
        answer = client.get(address)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")
