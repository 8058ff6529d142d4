"""Billing runs and the offices they had to leave standing."""

import uuid

from django.db import models
from django.db.models import Q

from offices.models import Office


class RunStatus(models.TextChoices):
    """How far a run came; one that was killed stays `running` and the next run does the rest."""

    ASKED = "asked"  # by staff; a worker begins it
    RUNNING = "running"
    DONE = "done"
    NEEDS_ATTENTION = "needs_attention"


class BillingRun(models.Model):
    """One call of the monthly run: what it did, in counts and money."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    as_of = models.DateTimeField()
    actor = models.CharField(max_length=100)
    # Of a run that staff asked for: why, in their own words.
    # The database knows the default too: a program of the release before inserts rows without this column.
    reason = models.CharField(max_length=200, blank=True, default="", db_default="")
    status = models.CharField(max_length=20, choices=RunStatus.choices, default=RunStatus.RUNNING)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    # Of the offices that were due at the start, those that were worked through: its progress.
    offices_due = models.PositiveIntegerField(default=0)
    offices_done = models.PositiveIntegerField(default=0)
    cycles_opened = models.PositiveIntegerField(default=0)
    cycles_closed = models.PositiveIntegerField(default=0)
    lines_added = models.PositiveIntegerField(default=0)
    invoices_closed = models.PositiveIntegerField(default=0)
    offices_parked = models.PositiveIntegerField(default=0)
    already_done = models.PositiveIntegerField(default=0)
    # Cents by currency, as JSON text: {"USD": 8400}.
    billed = models.TextField(default="{}")

    class Meta:
        permissions = [("start_run", "Can start a billing run")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="billing_run_status_known"),
            models.UniqueConstraint(
                fields=["status"], condition=Q(status=RunStatus.ASKED), name="billing_run_one_asked_at_a_time"
            ),
            models.CheckConstraint(
                condition=~Q(status=RunStatus.ASKED) | ~Q(reason=""), name="billing_run_asked_for_a_reason"
            ),
        ]
        indexes = [models.Index(fields=["-started_at"], name="billing_run_by_time")]

    def __str__(self) -> str:
        return f"run of {self.as_of:%Y-%m-%d %H:%M}"


class ParkingCode(models.TextChoices):
    """Why an office was parked."""

    COUNT_DIFFERS = "count_differs"
    PRICE_DIFFERS = "price_differs"
    RUN_CAP_EXCEEDED = "run_cap_exceeded"
    NO_PRICE_VERSION = "no_price_version"
    PROFILE_EMAIL_MISSING = "profile_email_missing"
    STRIPE_TOTAL_DIFFERS = "stripe_total_differs"
    STRIPE_OBJECT_UNEXPECTED = "stripe_object_unexpected"
    STRIPE_REFUSED = "stripe_refused"
    REQUEST_BLOCKED = "request_blocked"
    UNEXPECTED_ERROR = "unexpected_error"
    STOPPED_BY_STAFF = "stopped_by_staff"


class ParkedOffice(models.Model):
    """An office in a doubtful state: stopped, visible, with a reason and a way to un-park it."""

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="parkings")
    code = models.CharField(max_length=40, choices=ParkingCode.choices)
    # Names the log line that tells more; no detail is kept here.
    incident_id = models.UUIDField(default=uuid.uuid4)
    parked_at = models.DateTimeField()
    # Of an office that a person stopped: who, and why in their own words.
    # The database knows the default too: a program of the release before inserts rows without these columns.
    parked_by = models.CharField(max_length=100, blank=True, default="", db_default="")
    park_reason = models.CharField(max_length=200, blank=True, default="", db_default="")
    unparked_at = models.DateTimeField(null=True, blank=True)
    unparked_by = models.CharField(max_length=100, blank=True)
    unpark_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        permissions = [
            ("unpark_office", "Can let a parked office go on"),
            ("park_office", "Can stop an office"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["office"], condition=Q(unparked_at__isnull=True), name="parked_office_once_at_a_time"
            ),
            models.CheckConstraint(condition=Q(code__in=ParkingCode.values), name="parked_office_code_known"),
            models.CheckConstraint(
                condition=Q(unparked_at__isnull=True) | ~Q(unpark_reason=""),
                name="parked_office_unparked_with_a_reason",
            ),
            models.CheckConstraint(
                condition=~Q(code=ParkingCode.STOPPED_BY_STAFF) | (~Q(parked_by="") & ~Q(park_reason="")),
                name="parked_office_stopped_by_somebody_for_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.code
