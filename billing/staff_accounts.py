"""Accounts of staff: made, given roles, closed, and given a new second factor. Operators call this; nobody edits rows.

An account is entered with a user name, a password and a code. The first password is made here and lasts for the first
log-in only: before anything else opens, the person sets one of their own and confirms a device
(billing/staff_devices.py).
"""

import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User
from django.db import transaction

from audit.chain import Fact, record
from billing.models import Role, StaffDevice
from billing.models.staff import new_secret

STREAM = "console:access"
# The audit trail, approvals and admin pages name people by it; longer names fit no column of an actor.
_USERNAME = re.compile(r"[a-z][a-z0-9._-]{1,58}[a-z0-9]")
SEALED = "emergency"  # the account of billing/emergency_access.py: nothing here opens it
INVITATION_LASTS = timedelta(hours=72)  # over a weekend
LONGEST_REASON = 200  # characters


class UsernameInvalid(ValueError):
    """A user name has 3 to 60 lower-case letters, digits, dots, hyphens and underscores, and begins with a letter."""


class AccountExists(Exception):
    """There is an account with this name; its roles can be changed, its device be reset."""


class AccountNotFound(LookupError):
    """There is no staff account with this name."""


class RoleMissing(ValueError):
    """An account without a role opens nothing."""


class ReasonMissing(ValueError):
    """A device is reset for a reason of one to LONGEST_REASON characters."""


def staff_actor_of(username: str) -> str:
    """Return how the audit trail names a member of staff."""
    return f"staff:{username}"


@transaction.atomic
def create_staff_account(*, username: str, roles: Collection[Role], actor: str, now: datetime) -> str:
    """Make an account in these roles; return its first password, which is nowhere else.

    Raises UsernameInvalid, RoleMissing and AccountExists.
    """
    if not _USERNAME.fullmatch(username) or username == SEALED:
        raise UsernameInvalid(UsernameInvalid.__doc__)
    if not roles:
        raise RoleMissing(RoleMissing.__doc__)
    if User.objects.filter(username__iexact=username).exists():
        raise AccountExists(AccountExists.__doc__)
    user = User(username=username, is_staff=True, date_joined=now)
    password = _invite(user, now=now)
    user.groups.set(_groups(roles))
    record(Fact(STREAM, "account.created", {"user": username, "roles": _words(roles)}), actor=actor, now=now)
    return password


@transaction.atomic
def set_staff_roles(*, username: str, roles: Collection[Role], actor: str, now: datetime) -> bool:
    """Put the account in exactly these roles; return whether anything changed. Raises AccountNotFound, RoleMissing."""
    if not roles:
        raise RoleMissing(RoleMissing.__doc__)
    user = _locked(username, but=SEALED)
    before = set(user.groups.values_list("name", flat=True))
    if before == {role.value for role in roles}:
        return False
    user.groups.set(_groups(roles))
    record(Fact(STREAM, "account.roles_set", {"user": username, "roles": _words(roles)}), actor=actor, now=now)
    return True


@transaction.atomic
def deactivate_staff_account(*, username: str, actor: str, now: datetime) -> bool:
    """Close the account at once, its sessions included; return whether anything changed. Raises AccountNotFound."""
    user = _locked(username)
    if not user.is_active:
        return False
    user.is_active = False
    user.set_unusable_password()
    user.save(update_fields=["is_active", "password"])
    StaffDevice.objects.filter(user=user).delete()
    record(Fact(STREAM, "account.deactivated", {"user": username}), actor=actor, now=now)
    return True


@transaction.atomic
def reset_staff_device(*, username: str, reason: str, actor: str, now: datetime) -> str:
    """Take the second factor away and invite anew: a new first password, which ends all sessions and is returned.

    For a lost telephone, an invitation that has ended, an account that was closed or that `createsuperuser` made.
    Raises AccountNotFound and ReasonMissing.
    """
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise ReasonMissing(ReasonMissing.__doc__)
    user = _locked(username, but=SEALED)
    StaffDevice.objects.filter(user=user).delete()
    user.is_active = True
    password = _invite(user, now=now)
    payload = {"user": username, "reason": reason.strip()}
    record(Fact(STREAM, "device.reset", payload), actor=actor, now=now)
    return password


@transaction.atomic
def change_own_password(*, user: User, password: str, now: datetime) -> None:
    """Give the account the password that its person chose; all its other sessions end with the old one.

    The old password must have been asked for, and the new one judged by the validators.
    """
    User.objects.select_for_update().get(pk=user.pk)
    user.set_password(password)
    user.save(update_fields=["password"])
    name = user.get_username()
    record(Fact(STREAM, "account.password_changed", {"user": name}), actor=staff_actor_of(name), now=now)


def _locked(username: str, *, but: str = "") -> User:
    user = User.objects.select_for_update().filter(username=username, is_staff=True).exclude(username=but).first()
    if user is None:
        raise AccountNotFound(AccountNotFound.__doc__)
    return user


def _invite(user: User, *, now: datetime) -> str:
    """Save the account with a new password, and a device that waits to be confirmed."""
    password = secrets.token_urlsafe(15)
    user.set_password(password)
    user.save()
    StaffDevice.objects.create(
        user=user,
        name="authenticator",
        confirmed=False,
        secret=new_secret(),
        created_at=now,
        ends_at=now + INVITATION_LASTS,
    )
    return password


def _groups(roles: Collection[Role]) -> list[Group]:
    return list(Group.objects.filter(name__in=[role.value for role in roles]))


def _words(roles: Collection[Role]) -> str:
    return ", ".join(sorted(role.value for role in roles))
