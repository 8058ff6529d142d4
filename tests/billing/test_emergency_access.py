"""The sealed account opens for an hour, for a person and a reason, and everybody hears of it."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from audit.models import AuditEntry
from billing.emergency_access import ROLES, open_emergency_access
from billing.models import EmergencyOpening, Role, StaffDevice
from billing.staff_accounts import (
    STREAM,
    AccountNotFound,
    ReasonMissing,
    deactivate_staff_account,
    reset_staff_device,
    set_staff_roles,
)
from tests.billing.test_alerts import Pager, listening
from tests.builders import ACTOR, utc
from tests.staff import member

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-02T09:00")
WHY = "Privacy officer ill; Zoltana Quibbleworth is at the desk"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def opening(person):
    return open_emergency_access(person="pat", reason=WHY, actor=ACTOR, now=NOW)


@pytest.fixture
def person():
    return member("pat", Role.OPERATOR)


def enter(opening, code=None):
    client = Client()
    form = {"username": "emergency", "password": opening.password, "otp_token": code or opening.code}
    client.post("/admin/login/", form)
    return client


def is_inside(client):
    return client.get("/admin/").status_code == 200


def test_it_opens_identities_and_operations_for_an_hour_and_ends_by_itself(opening, clock):
    client = enter(opening)
    assert is_inside(client)
    user = User.objects.get(username="emergency")
    assert user.has_perm("patients.reveal_identity")
    assert user.has_perm("billing.unpark_office")
    assert not user.is_superuser
    for _ in range(5):
        clock.shift(timedelta(minutes=10))
        assert is_inside(client)
    clock.shift(timedelta(minutes=9, seconds=59))
    assert is_inside(client)
    clock.shift(timedelta(seconds=1))
    assert not is_inside(client)
    assert not is_inside(enter(opening))


def test_it_is_no_second_person():
    decides = {"billing.approve_correction", "billing.sign_month"}
    member("pat")
    open_emergency_access(person="pat", reason=WHY, actor=ACTOR, now=NOW)
    assert not decides & User.objects.get(username="emergency").get_all_permissions()
    assert set(ROLES) == {Role.PRIVACY_OFFICER, Role.OPERATOR}


def test_its_code_opens_once_and_nothing_of_one_opening_serves_the_next(opening):
    first = enter(opening)
    assert not is_inside(enter(opening))
    second = open_emergency_access(person="pat", reason=WHY, actor=ACTOR, now=NOW)
    assert not is_inside(first)
    assert not is_inside(enter(opening))
    assert is_inside(enter(second))


def test_it_is_sealed_before_the_first_opening(person, client):
    assert not User.objects.filter(username="emergency").exists()
    client.post("/admin/login/", {"username": "emergency", "password": "", "otp_token": ""})
    assert not is_inside(client)


def test_who_and_when_are_on_record_and_the_reason_is_sealed(opening):
    entry = AuditEntry.objects.get(stream=STREAM, action="emergency.opened")
    assert json.loads(entry.payload) == {"person": "pat", "ends_at": opening.ends_at.isoformat()}
    row = EmergencyOpening.objects.get()
    assert (row.person, row.opened_at, row.ends_at, row.reason) == ("pat", NOW, NOW + timedelta(minutes=60), WHY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason FROM billing_emergencyopening")
        assert "Zoltana" not in cursor.fetchone()[0]


@pytest.mark.parametrize("reason", ["", " ", "x" * 201])
def test_it_needs_a_reason(person, reason):
    with pytest.raises(ReasonMissing):
        open_emergency_access(person="pat", reason=reason, actor=ACTOR, now=NOW)


def test_it_needs_a_person_of_staff_who_is_here(person, opening):
    User.objects.filter(username="pat").update(is_active=False)
    for name in ("pat", "nobody", "emergency"):
        with pytest.raises(AccountNotFound):
            open_emergency_access(person=name, reason=WHY, actor=ACTOR, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_the_command_prints_what_opens_it_and_alerts_at_once(person, settings, capsys):
    cache.clear()
    with listening(Pager()) as pager:
        settings.ALERT_WEBHOOK_URL = pager.url
        call_command("emergency_access", "--person", "pat", "--reason", WHY, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["username"] == "emergency"
    assert User.objects.get(username="emergency").check_password(printed["password"])
    row = EmergencyOpening.objects.get()
    assert pager.received == [{"opening": str(row.pk), "reason": "emergency_access", "at": NOW.isoformat()}]
    assert row.alerted_at == NOW
    assert printed["problems"] == []


@pytest.mark.django_db(transaction=True)
def test_an_alert_that_cannot_go_out_is_said_and_waits(person, settings, capsys):
    cache.clear()
    settings.ALERT_WEBHOOK_URL = ""
    call_command("emergency_access", "--person", "pat", "--reason", WHY, "--json")
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["problems"]] == ["alert_waits"]
    assert EmergencyOpening.objects.get().alerted_at is None


def test_a_dry_run_opens_nothing(person, capsys):
    call_command("emergency_access", "--person", "pat", "--reason", WHY, "--json", "--dry-run")
    assert "password" not in json.loads(capsys.readouterr().out)
    assert not StaffDevice.objects.filter(user__username="emergency").exists()


def test_wrong_arguments_are_said_to_be_wrong(person):
    for arguments in (["--person", "nobody", "--reason", WHY], ["--person", "pat", "--reason", ""]):
        with pytest.raises(CommandError):
            call_command("emergency_access", *arguments)


def test_no_other_command_opens_the_sealed_account_but_it_can_be_closed_early(opening):
    client = enter(opening)
    with pytest.raises(AccountNotFound):
        reset_staff_device(username="emergency", reason="try", actor=ACTOR, now=NOW)
    with pytest.raises(AccountNotFound):
        set_staff_roles(username="emergency", roles=list(Role), actor=ACTOR, now=NOW)
    assert is_inside(client)
    deactivate_staff_account(username="emergency", actor=ACTOR, now=NOW)
    assert not is_inside(client)
    assert not is_inside(enter(opening))
