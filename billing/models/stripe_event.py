"""The inbox: what Stripe told us, kept as ids, type and times only; never the body."""

from collections.abc import Mapping
from typing import ClassVar

from django.db import models
from django.db.models import Q

from offices.encryption import EncryptedTextField
from offices.models import OfficeStripeAccount


class EventStatus(models.TextChoices):
    """Where an event is.

    `ignored` tells nothing that we keep, `quarantined` names an object we do not know yet, `dead` one that we never
    came to know or could not read, `foreign` one of another system on the same account, `distrusted` comes from the
    other mode than our key's.
    """

    PENDING = "pending"
    DONE = "done"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    DEAD = "dead"
    FOREIGN = "foreign"
    DISTRUSTED = "distrusted"


class EventTrouble(models.TextChoices):
    """What is wrong with an event that was worked through or waits, in its `error_code` (beside Stripe's own codes)."""

    OBJECT_UNKNOWN = "object_unknown"
    OBJECT_FOREIGN = "object_foreign"
    OTHER_MODE = "other_mode"
    OTHER_VERSION = "other_version"


class StripeEvent(models.Model):
    """A doorbell, not a letter: it says which object to fetch (architecture.md, "How the data flows")."""

    # The index of the office's account, so that one value finds both.
    BLIND_INDEXES: ClassVar[Mapping[str, tuple[str, str]]] = {
        "customer_index": OfficeStripeAccount.BLIND_INDEXES["customer_index"]
    }

    event_id = models.CharField(max_length=80, primary_key=True)
    event_type = models.CharField(max_length=80)
    # Empty for a customer, whose id is kept encrypted and found by its blind index (decisions.md 19).
    object_id = models.CharField(max_length=80, blank=True)
    customer_id = EncryptedTextField(null=True, blank=True)
    customer_index = models.CharField(max_length=64, null=True, blank=True)
    customer_index_key = models.CharField(max_length=12, null=True, blank=True)
    created = models.DateTimeField()
    api_version = models.CharField(max_length=40)
    livemode = models.BooleanField()
    # Over id, type, created and object id; bodies may differ between deliveries (decisions.md 22).
    digest = models.CharField(max_length=64)
    # Set when the same id arrived with another digest: a security finding.
    conflict_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField()
    status = models.CharField(max_length=12, choices=EventStatus.choices, default=EventStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=EventStatus.values), name="stripe_event_status_known")
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(status__in=[EventStatus.PENDING, EventStatus.QUARANTINED]),
                name="stripe_event_waiting_by_time",
            ),
            models.Index(fields=["object_id"], name="stripe_event_by_object"),
            models.Index(fields=["-received_at", "event_id"], name="stripe_event_by_receipt"),
            models.Index(fields=["status"], condition=Q(status=EventStatus.DEAD), name="stripe_event_dead"),
            models.Index(
                fields=["customer_index"],
                condition=Q(customer_index__isnull=False),
                name="stripe_event_by_customer",
            ),
            models.Index(fields=["received_at"], condition=~Q(error_code=""), name="stripe_event_trouble_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
