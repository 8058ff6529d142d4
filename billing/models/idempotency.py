"""What an API call answered, kept so that the same call sent again is answered and not carried out again."""

from django.db import models
from django.db.models import Q

from offices.encryption import EncryptedTextField


class IdempotentAnswer(models.Model):
    """The answer to one `Idempotency-Key` of one credential (reliability.md, "Idempotency of our own API").

    Key and request are kept as keyed digests: what a portal writes into a key is not ours to trust, and a body that
    registers a patient has so little to guess that a bare digest would give it away. The answer names accounts, so it
    is encrypted.
    """

    # Who called, as the audit trail names it: `api-key:<prefix>` or `platform-key:<prefix>`.
    credential = models.CharField(max_length=40)
    key_digest = models.CharField(max_length=64)
    # Method, path and body as one: a key belongs to one request.
    request_digest = models.CharField(max_length=64)
    status_code = models.PositiveSmallIntegerField()
    body = EncryptedTextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["credential", "key_digest"], name="idempotency_key_once_per_credential"),
            # A refusal changed nothing, so it is judged anew each time.
            models.CheckConstraint(
                condition=Q(status_code__gte=200, status_code__lt=300), name="idempotent_answer_is_a_success"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_answer_by_age")]

    def __str__(self) -> str:
        return f"answer {self.pk}"
