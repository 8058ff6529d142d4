"""Operators make, change, close and re-invite staff accounts with commands, each on record."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from billing.models import Role, StaffDevice
from billing.staff_accounts import (
    STREAM,
    AccountExists,
    AccountNotFound,
    ReasonMissing,
    RoleMissing,
    UsernameInvalid,
    create_staff_account,
    deactivate_staff_account,
    reset_staff_device,
    set_staff_roles,
)
from tests.builders import ACTOR, utc
from tests.staff import member

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-02T09:00")
WHEN = {"actor": ACTOR, "now": NOW}


def entries():
    found = AuditEntry.objects.filter(stream=STREAM).order_by("seq")
    return [(entry.action, entry.actor, json.loads(entry.payload)) for entry in found]


def roles_of(username):
    return set(User.objects.get(username=username).groups.values_list("name", flat=True))


def run(capsys, *arguments):
    call_command(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


def test_an_account_is_staff_in_its_roles_never_a_superuser_and_invited_for_three_days():
    password = create_staff_account(username="jo.biller", roles=[Role.BILLER, Role.VIEWER], **WHEN)
    user = User.objects.get(username="jo.biller")
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, False, True)
    assert user.check_password(password)
    assert len(password) >= 20
    assert roles_of("jo.biller") == {"Biller", "Viewer"}
    device = StaffDevice.objects.get(user=user)
    assert (device.confirmed, device.ends_at) == (False, NOW + timedelta(hours=72))
    assert entries() == [("account.created", ACTOR, {"user": "jo.biller", "roles": "Biller, Viewer"})]
    assert password not in str(entries())


@pytest.mark.parametrize(
    "username", ["", "ab", "emergency", "Jo", "jo smith", "jo@example.com", "1jo", "jo-", "j" * 61, "jö.smith"]
)
def test_a_name_that_no_column_or_person_could_take_is_refused(username):
    with pytest.raises(UsernameInvalid):
        create_staff_account(username=username, roles=[Role.VIEWER], **WHEN)


def test_two_accounts_never_differ_in_case_alone_and_none_is_without_a_role():
    User.objects.create_user("JO.BILLER")
    with pytest.raises(AccountExists):
        create_staff_account(username="jo.biller", roles=[Role.VIEWER], **WHEN)
    with pytest.raises(RoleMissing):
        create_staff_account(username="other", roles=[], **WHEN)


def test_roles_are_replaced_and_the_same_again_changes_nothing():
    member("jo.biller", Role.BILLER)
    assert set_staff_roles(username="jo.biller", roles=[Role.APPROVER], **WHEN)
    assert roles_of("jo.biller") == {"Approver"}
    assert not set_staff_roles(username="jo.biller", roles=[Role.APPROVER], **WHEN)
    assert [action for action, *_ in entries()] == ["account.roles_set"]
    with pytest.raises(RoleMissing):
        set_staff_roles(username="jo.biller", roles=[], **WHEN)


@pytest.mark.parametrize(
    "act",
    [
        lambda: set_staff_roles(username="nobody", roles=[Role.VIEWER], **WHEN),
        lambda: deactivate_staff_account(username="nobody", **WHEN),
        lambda: reset_staff_device(username="nobody", reason="lost", **WHEN),
    ],
)
def test_who_is_no_staff_is_not_found(act):
    User.objects.create_user("nobody")
    with pytest.raises(AccountNotFound):
        act()


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201])
def test_a_device_is_reset_for_a_reason_alone(reason):
    member("jo.biller")
    with pytest.raises(ReasonMissing):
        reset_staff_device(username="jo.biller", reason=reason, **WHEN)
    assert StaffDevice.objects.get().confirmed


def test_a_closed_account_is_opened_again_by_a_reset_with_the_roles_it_had():
    member("jo.biller", Role.BILLER)
    deactivate_staff_account(username="jo.biller", **WHEN)
    password = reset_staff_device(username="jo.biller", reason="back from leave", **WHEN)
    user = User.objects.get(username="jo.biller")
    assert (user.is_active, user.check_password(password), roles_of("jo.biller")) == (True, True, {"Biller"})


# --- The commands ---
def test_the_command_makes_changes_and_closes(capsys):
    made = run(capsys, "create_staff", "jo.biller", "--role", "Biller", "--role", "Viewer")
    assert made["counts"] == {"accounts_created": 1}
    assert User.objects.get(username="jo.biller").check_password(made["password"])
    assert run(capsys, "create_staff", "jo.biller", "--change", "--role", "Auditor")["counts"] == {
        "accounts_changed": 1
    }
    assert roles_of("jo.biller") == {"Auditor"}
    reset = run(capsys, "reset_staff_device", "jo.biller", "--reason", "lost telephone")
    assert User.objects.get(username="jo.biller").check_password(reset["password"])
    assert run(capsys, "create_staff", "jo.biller", "--deactivate")["counts"] == {"accounts_deactivated": 1}
    assert run(capsys, "create_staff", "jo.biller", "--deactivate")["counts"] == {"accounts_deactivated": 0}


def test_a_dry_run_makes_nothing_and_prints_no_password(capsys):
    member("jo.biller")
    before = User.objects.get().password
    for command in (
        ["create_staff", "other", "--role", "Viewer"], ["reset_staff_device", "jo.biller", "--reason", "lost"]
    ):  # fmt: skip
        assert "password" not in run(capsys, *command, "--dry-run")
    assert User.objects.get().password == before
    assert entries() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_staff", "Not A Name", "--role", "Viewer"],
        ["create_staff", "jo.biller"],
        ["create_staff", "jo.biller", "--role", "King"],
        ["create_staff", "nobody", "--deactivate"],
        ["create_staff", "nobody", "--change", "--role", "Viewer"],
        ["reset_staff_device", "nobody", "--reason", "lost"],
        ["reset_staff_device", "jo.biller"],
    ],
)
def test_wrong_arguments_are_said_to_be_wrong(arguments):
    with pytest.raises(CommandError):
        call_command(*arguments)
