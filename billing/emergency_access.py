"""The sealed account: opened for an hour when nobody else can act (45 CFR 164.312(a)(2)(ii)).

It is closed for as long as it is not opened here. Every opening has a person, a reason, an alert and an audit entry,
gives a password and one code that work for this opening alone, and ends by itself: each request asks for the end.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User
from django.db import transaction

from audit.chain import Fact, record
from billing.models import EmergencyOpening, Role, StaffDevice
from billing.models.staff import new_secret
from billing.staff_accounts import LONGEST_REASON, SEALED, STREAM, AccountNotFound, ReasonMissing

LASTS = timedelta(minutes=60)  # long enough to find a patient's clinic and to release an office; then ask again
# Identities, and what keeps the billing going. Nothing that takes two people: an emergency is not a second person.
ROLES = (Role.PRIVACY_OFFICER, Role.OPERATOR)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the person needs to get in, shown once."""

    username: str
    password: str
    code: str
    ends_at: datetime


@transaction.atomic
def open_emergency_access(*, person: str, reason: str, actor: str, now: datetime) -> Opening:
    """Open the sealed account for LASTS, for a member of staff; whatever was open before ends.

    Raises ReasonMissing, and AccountNotFound unless `person` is an active account of staff.
    """
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise ReasonMissing(ReasonMissing.__doc__)
    if not User.objects.filter(username=person, is_staff=True, is_active=True).exclude(username=SEALED).exists():
        raise AccountNotFound(AccountNotFound.__doc__)
    ends_at, password = now + LASTS, secrets.token_urlsafe(15)
    user, _ = User.objects.select_for_update().get_or_create(username=SEALED, defaults={"date_joined": now})
    user.is_active, user.is_staff, user.is_superuser = True, True, False
    user.set_password(password)
    user.save()
    user.groups.set(Group.objects.filter(name__in=[role.value for role in ROLES]))
    code = _new_device(user, ends_at=ends_at, now=now)
    EmergencyOpening.objects.create(person=person, reason=reason.strip(), opened_at=now, ends_at=ends_at)
    payload = {"person": person, "ends_at": ends_at.isoformat()}
    record(Fact(STREAM, "emergency.opened", payload), actor=actor, now=now)
    return Opening(SEALED, password, code, ends_at)


def _new_device(user: User, *, ends_at: datetime, now: datetime) -> str:
    """Give the account a device with an end, and return the one code that opens it."""
    StaffDevice.objects.filter(user=user).delete()
    device = StaffDevice(user=user, name="sealed", secret=new_secret(), created_at=now, confirmed_at=now)
    device.ends_at = ends_at
    code = device.new_recovery_codes()[0]
    device.recovery_digests = device.recovery_digests.split()[0]
    device.save()
    return code
