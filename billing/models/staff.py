"""The people of the console beyond Django's account: their roles, and the second factor of their log-in."""

import hashlib
import secrets
from base64 import b32encode
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django_otp.models import Device, DeviceManager, ThrottlingMixin
from django_otp.oath import TOTP

from offices.encryption import EncryptedTextField

STEP = 30  # seconds that a code lasts, as every app for codes assumes
DIGITS = 6
TOLERANCE = 1  # steps before and after the present one: a telephone's clock is seldom exact
RECOVERY_CODES = 10


class Role(models.TextChoices):
    """What somebody is here for. Each is a group made by a migration; billing/admin/roles.py says what it may do."""

    VIEWER = "Viewer"
    BILLER = "Biller"
    APPROVER = "Approver"
    AUDITOR = "Auditor"
    PRIVACY_OFFICER = "Privacy officer"
    OPERATOR = "Operator"


class StaffDeviceManager(DeviceManager):  # type: ignore[misc]
    """Leaves the secret in the database: each request looks at the device, only a log-in needs the secret."""

    def get_queryset(self) -> Any:
        """Read everything else."""
        return super().get_queryset().defer("secret")


class StaffDevice(ThrottlingMixin, Device):  # type: ignore[misc]
    """The second factor of one account: an app that shows codes, and codes on paper for when it is lost.

    The library's own devices keep secret and recovery codes in clear; here the secret is encrypted by the key ring, and
    of a recovery code, which is random, only a digest is kept. Until the person has confirmed it with a code the row is
    an invitation and `ends_at` its end. A confirmed one with an end belongs to an account that is open for a while.
    """

    # One to one: the account is read together with its device, in one question (billing/staff_log_in.py).
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="staff_device")
    secret = EncryptedTextField()  # hexadecimal
    last_step = models.BigIntegerField(default=-1)  # of the last code that was accepted: none is accepted twice
    recovery_digests = models.TextField(blank=True)  # one a line; a code that was used is taken out
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    objects = StaffDeviceManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed=True) | Q(ends_at__isnull=False), name="staff_device_invitation_ends"
            ),
            models.CheckConstraint(
                condition=Q(confirmed=False) | Q(confirmed_at__isnull=False), name="staff_device_confirmed_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"device {self.pk}"

    def is_open(self, now: datetime) -> bool:
        """Tell whether something can be opened with it at this time."""
        return self.ends_at is None or now < self.ends_at

    @property
    def recovery_codes_left(self) -> int:
        """How many of the codes on paper are unused."""
        return len(self.recovery_digests.split())

    def verify_token(self, token: str) -> bool:
        """Take a code of the app or one on paper, each once; after a wrong one wait 1, 2, 4, 8 ... seconds.

        The row must be locked by the caller. Without regard to case, blanks and hyphens, as people type.
        """
        if not self.verify_is_allowed()[0]:
            return False
        plain = "".join(token.split()).replace("-", "").lower()
        accepted = self._takes_step(plain) or self._takes_recovery(plain)
        if accepted:
            self.last_used_at = timezone.now()
            self.throttle_reset(commit=False)
        else:
            self.throttle_increment(commit=False)
        self.save()
        return accepted

    def get_throttle_factor(self) -> int:
        """Return the seconds to wait after the first wrong code."""
        return 1

    def new_recovery_codes(self) -> list[str]:
        """Replace the codes on paper and return the new ones: 80 random bits each, so that a bare digest is enough."""
        codes = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
        self.recovery_digests = "\n".join(map(_digest, codes))
        return ["-".join(code[first : first + 4] for first in range(0, 16, 4)) for code in codes]

    def code_at(self, step: int) -> str:
        """Return the code that the app shows in this step, counted from 1970."""
        app = TOTP(bytes.fromhex(self.secret), step=STEP, digits=DIGITS)
        app.time = step * STEP
        return f"{app.token():0{DIGITS}}"

    def _takes_step(self, plain: str) -> bool:
        if len(plain) != DIGITS or not plain.isascii():
            return False
        present = int(timezone.now().timestamp()) // STEP
        steps = [step for step in range(present - TOLERANCE, present + TOLERANCE + 1) if step > self.last_step]
        taken = [step for step in steps if secrets.compare_digest(self.code_at(step), plain)]
        if taken:
            self.last_step = taken[0]
        return bool(taken)

    def _takes_recovery(self, plain: str) -> bool:
        left = self.recovery_digests.split()
        digest = _digest(plain)
        if digest not in left:
            return False
        self.recovery_digests = "\n".join(each for each in left if each != digest)
        return True


def new_secret() -> str:
    """Return a fresh secret for an app: 160 bits, as RFC 4226 recommends."""
    return secrets.token_hex(20)


def _digest(plain: str) -> str:
    return hashlib.sha256(f"recovery code\x00{plain}".encode()).hexdigest()


class EmergencyOpening(models.Model):
    """The sealed account was opened: for whom, why, and until when. The reason is encrypted, as that of a reveal."""

    person = models.CharField(max_length=100)
    reason = EncryptedTextField()
    opened_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    # The row is the queue of alerts, as with incidents: null until one went out.
    alerted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(person=""), name="emergency_opening_has_a_person"),
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("opened_at")), name="emergency_opening_ends"),
        ]

    def __str__(self) -> str:
        return f"opening {self.pk}"
