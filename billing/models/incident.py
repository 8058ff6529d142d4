"""Blocked attempts: a request that the guard stopped is a security incident (45 CFR 164.304, 164.308)."""

from django.db import models
from django.db.models import Q

from billing.models.outbox import OutboxMessage
from offices.models import Office


class Incident(models.Model):
    """What was blocked, where and when. Never the value, its prefix, shape or hash, nor a patient token."""

    id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()
    policy_version = models.CharField(max_length=10)
    reason = models.CharField(max_length=40)
    operation = models.CharField(max_length=40, blank=True)
    path_template = models.CharField(max_length=100, blank=True)
    # Only a name of the guard's own vocabulary; any other name could itself be what must not be written down.
    parameter = models.CharField(max_length=60, blank=True)
    call_site = models.CharField(max_length=60)
    actor = models.CharField(max_length=100)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, null=True, blank=True, related_name="incidents")
    message = models.ForeignKey(
        OutboxMessage, on_delete=models.PROTECT, null=True, blank=True, related_name="incidents"
    )
    # The row is the queue of alerts: null until one went out.
    alerted_at = models.DateTimeField(null=True, blank=True)
    disposed_at = models.DateTimeField(null=True, blank=True)
    disposed_by = models.CharField(max_length=100, blank=True)
    disposition = models.CharField(max_length=200, blank=True)

    class Meta:
        permissions = [("dispose_incident", "Can record what was found out about a blocked attempt")]
        constraints = [
            models.CheckConstraint(
                condition=Q(disposed_at__isnull=True) | (~Q(disposed_by="") & ~Q(disposition="")),
                name="incident_disposed_by_somebody_with_words",
            )
        ]
        indexes = [
            models.Index(fields=["at"], condition=Q(alerted_at__isnull=True), name="incident_not_yet_alerted"),
            models.Index(fields=["-at"], name="incident_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.id}"


class CanaryRun(models.Model):
    """A synthetic leak that was tried on purpose; it must have been blocked."""

    at = models.DateTimeField()
    blocked = models.BooleanField()

    class Meta:
        indexes = [models.Index(fields=["-at"], name="canary_run_by_time")]

    def __str__(self) -> str:
        return f"canary {'blocked' if self.blocked else 'PASSED'}"
