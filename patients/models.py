"""Patient accounts as billing knows them: a random reference and when they were active. Nothing else.

Who the person is lives in `identity.py`, in a table of its own that billing never reads.
"""

import uuid

from django.db import models
from django.db.models import F, Q

from offices.models import Office


class Patient(models.Model):
    """A person's account at one office. The reference is random, never derived from the person (45 CFR 164.514(c))."""

    reference = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="patients")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.reference)


class ActivityPeriod(models.Model):
    """The half-open interval [activated_at, deactivated_at) in which a patient account was active; open when no end.

    `office` repeats the patient's office so that the monthly run reads one narrow table. Ids grow in the order in
    which an office's periods are recorded (under the office lock): a closed cycle remembers the last one it saw.
    """

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="periods", db_index=False)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="activity_periods")
    activated_at = models.DateTimeField()
    deactivated_at = models.DateTimeField(null=True, blank=True)
    # When the end was written down: an end in the past takes no line away that stood before (product.md rule 3).
    deactivation_recorded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["patient", "activated_at"], name="activity_period_starts_once"),
            models.UniqueConstraint(
                fields=["patient"],
                condition=Q(deactivated_at__isnull=True),
                name="activity_period_one_open_per_patient",
            ),
            models.CheckConstraint(
                condition=Q(deactivated_at__isnull=True) | Q(deactivated_at__gt=F("activated_at")),
                name="activity_period_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} from {self.activated_at:%Y-%m-%d}"
