"""The second factor at work: judge a code at a log-in, and confirm a new device before anything else opens."""

from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from django.contrib.auth.models import User
from django.db import transaction

from audit.chain import Fact, record
from billing.models import StaffDevice
from billing.models.staff import DIGITS, STEP
from billing.staff_accounts import STREAM, staff_actor_of

ISSUER = "Clinic billing"  # what the app shows above the code


class CodeRefused(Exception):
    """The code is wrong, was used before, or came too soon after a wrong one."""


class NoInvitation(Exception):
    """The account has no device that waits to be confirmed: it never was invited, or the invitation has ended."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What an app for codes needs: as text to type, and as the address that a QR code holds."""

    text: str
    address: str


def open_with_code(*, user: User, code: str, now: datetime) -> StaffDevice | None:
    """Return the account's device when the code opens it, None when it waits to be confirmed, which needs no code.

    Raises NoInvitation and CodeRefused. A refused code is recorded here, a log-in elsewhere.
    """
    with transaction.atomic():
        device: StaffDevice | None = StaffDevice.objects.select_for_update().filter(user=user).first()
        if device is None or not device.is_open(now):
            raise NoInvitation("there is no device to open this account with")
        if not device.confirmed:
            return None
        left = device.recovery_codes_left
        accepted = device.verify_token(code)
        if not accepted:
            _record("code.refused", user, "unauthenticated", now=now)
        elif device.recovery_codes_left < left:
            actor = staff_actor_of(user.get_username())
            _record("recovery_code.used", user, actor, now=now, left=device.recovery_codes_left)
    if not accepted:  # after the commit: that it was tried must stay
        raise CodeRefused("the code is not right")
    return device


def waiting_device(user_id: int, *, now: datetime) -> StaffDevice | None:
    """Return the account's device that waits to be confirmed, while the invitation lasts."""
    device = StaffDevice.objects.filter(user_id=user_id, confirmed=False).first()
    return device if device is not None and device.is_open(now) else None


def secret_of(device: StaffDevice, username: str) -> Secret:
    """Return the secret of a device that waits to be confirmed; nothing shows it afterwards."""
    text = b32encode(bytes.fromhex(device.secret)).decode()
    query = urlencode({"secret": text, "issuer": ISSUER, "digits": DIGITS, "period": STEP}, quote_via=quote)
    return Secret(text, f"otpauth://totp/{quote(ISSUER)}:{quote(username)}?{query}")


def confirm_device(*, user_id: int, password: str, code: str, now: datetime) -> tuple[StaffDevice, list[str]]:
    """Set the person's own password and confirm the device by its code; return it and its recovery codes, in clear.

    The password must have been judged by the validators. Raises NoInvitation and CodeRefused.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        device = StaffDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
        if device is None or not device.is_open(now):
            raise NoInvitation("the invitation has ended")
        accepted = device.verify_token(code)
        codes = _confirm(device, user, password, now=now) if accepted else []
        action, actor = (
            ("device.enrolled", staff_actor_of(user.get_username()))
            if accepted
            else ("code.refused", "unauthenticated")
        )
        _record(action, user, actor, now=now)
    if not accepted:
        raise CodeRefused("the code is not right: wait for the next one and check the telephone's clock")
    return device, codes


def _confirm(device: StaffDevice, user: User, password: str, *, now: datetime) -> list[str]:
    user.set_password(password)
    user.save(update_fields=["password"])
    codes = device.new_recovery_codes()
    device.confirmed, device.confirmed_at, device.ends_at = True, now, None
    device.save()
    return codes


def _record(action: str, user: User, actor: str, *, now: datetime, **more: int) -> None:
    record(Fact(STREAM, action, {"user": user.get_username(), **more}), actor=actor, now=now)
