"""A permission to see one identity for a quarter of an hour: who asked, and why (privacy.md, "Identity").

Loaded beside `identity.py`, not by `patients.models`: billing has no business here.
"""

import uuid

from django.db import models
from django.db.models import F, Q

from offices.encryption import EncryptedTextField
from patients.models import Patient


class RevealGrant(models.Model):
    """One person's leave to see one patient's identity, from `granted_at` until before `expires_at`.

    The reason is encrypted: people write about patients there. Erasure destroys the row; who looked, and when, stays
    in the audit trail.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=200)
    reason = EncryptedTextField()
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        permissions = [("reveal_identity", "Can see who a patient is, for a reason and for 15 minutes")]
        constraints = [
            models.CheckConstraint(condition=~Q(actor=""), name="reveal_grant_has_an_actor"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("granted_at")), name="reveal_grant_expires"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
