"""What Stripe should tell us after each write, and by when: silence is noticed and the object is fetched."""

from django.db import models
from django.db.models import Q

from billing.models.outbox import OutboxStep


class ExpectedEvent(models.Model):
    """News that a write should bring. Null `heard_at` after `expected_by` is silence (`billing/silence.py`)."""

    step = models.OneToOneField(OutboxStep, on_delete=models.PROTECT, related_name="expected_event")
    stripe_object_id = models.CharField(max_length=80)
    event_type = models.CharField(max_length=80)
    registered_at = models.DateTimeField()
    expected_by = models.DateTimeField()
    heard_at = models.DateTimeField(null=True, blank=True)
    # When the silence was noticed and the object was fetched instead.
    pulled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["expected_by"],
                condition=Q(heard_at__isnull=True, pulled_at__isnull=True),
                name="expected_event_by_deadline",
            ),
            models.Index(fields=["stripe_object_id"], name="expected_event_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} by {self.expected_by:%Y-%m-%d %H:%M}"
