"""The outbox: what must reach Stripe, stored exactly as it will be sent, and the evidence of all that left."""

import uuid

from django.db import models
from django.db.models import Q

from billing.models.correction import Correction
from billing.models.invoice import Invoice
from offices.encryption import EncryptedTextField
from offices.models import Office


class MessageKind(models.TextChoices):
    """What a message brings about at Stripe."""

    CUSTOMER = "customer"
    INVOICE = "invoice"
    PROFILE = "profile"
    CORRECTION = "correction"


class MessageStatus(models.TextChoices):
    """Where a message is; `parked` waits for a person, `dead` was refused for good."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"
    PARKED = "parked"


class OutboxMessage(models.Model):
    """A document for Stripe, frozen when it was queued. The row is the queue: back-off and lease live in it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=MessageKind.choices)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="outbox_messages")
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="outbox_messages"
    )
    correction = models.OneToOneField(
        Correction, on_delete=models.PROTECT, null=True, blank=True, related_name="outbox_message"
    )
    payload = models.TextField()
    payload_digest = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=MessageStatus.choices, default=MessageStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    lease_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    # A code, never Stripe's text: a real 402 names the cardholder (stripe/facts.md).
    error_code = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [("export_outboxmessage", "Can export messages to Stripe")]
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(kind=MessageKind.INVOICE), name="outbox_one_message_per_invoice"
            ),
            models.UniqueConstraint(
                fields=["office"],
                condition=Q(kind=MessageKind.CUSTOMER) & ~Q(status=MessageStatus.DEAD),
                name="outbox_one_customer_message_per_office",
            ),
            models.CheckConstraint(condition=Q(kind__in=MessageKind.values), name="outbox_kind_known"),
            models.CheckConstraint(condition=Q(status__in=MessageStatus.values), name="outbox_status_known"),
            models.CheckConstraint(
                condition=Q(status=MessageStatus.LEASED, lease_token__isnull=False, lease_expires_at__isnull=False)
                | (~Q(status=MessageStatus.LEASED) & Q(lease_token__isnull=True, lease_expires_at__isnull=True)),
                name="outbox_leased_has_a_token",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[MessageKind.INVOICE, MessageKind.CORRECTION], invoice__isnull=False)
                | (~Q(kind__in=[MessageKind.INVOICE, MessageKind.CORRECTION]) & Q(invoice__isnull=True)),
                name="outbox_invoice_message_names_its_invoice",
            ),
            models.CheckConstraint(
                condition=Q(kind=MessageKind.CORRECTION, correction__isnull=False)
                | (~Q(kind=MessageKind.CORRECTION) & Q(correction__isnull=True)),
                name="outbox_correction_message_names_its_correction",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "id"], name="outbox_by_creation"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(status__in=[MessageStatus.PENDING, MessageStatus.LEASED]),
                name="outbox_waiting_by_time",
            ),
            # What stands still is counted at each look at the metrics, among all that was ever delivered.
            models.Index(
                fields=["status"],
                condition=Q(status__in=[MessageStatus.DEAD, MessageStatus.PARKED]),
                name="outbox_stuck_by_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class OutboxStep(models.Model):
    """One write to Stripe within a message: a recovery point with a random idempotency key of its own.

    The row is committed before the first try. `key_version` rises only after a lookup proved that the object does
    not exist (stripe/facts.md, "Idempotency").
    """

    message = models.ForeignKey(OutboxMessage, on_delete=models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    operation = models.CharField(max_length=40)
    idempotency_key = models.UUIDField(default=uuid.uuid4)
    key_version = models.PositiveSmallIntegerField(default=1)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    # What was made at Stripe; the id of a customer is the one that is kept encrypted (decisions.md 19).
    stripe_object_id = models.CharField(max_length=80, blank=True)
    customer_id = EncryptedTextField(null=True, blank=True)
    # Stripe answered with a server error: the key's stored result would be that error for a day.
    answered_with_error = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["message", "position"], name="outbox_step_one_per_position"),
            models.UniqueConstraint(fields=["idempotency_key"], name="outbox_step_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} of {self.message_id}"

    @property
    def object_id(self) -> str:
        """The id of what was made at Stripe; empty while that is not known."""
        return self.customer_id or self.stripe_object_id


class OutboundRequest(models.Model):
    """Egress evidence: a request that left, as it was encoded (privacy.md, "The barrier" 3).

    Encrypted at rest, because a customer id stands in most of them; the digest is over the clear text
    (`stripe_gateway.evidence.request_digest`), so that what was changed by hand shows.
    """

    message = models.ForeignKey(OutboxMessage, on_delete=models.PROTECT, null=True, blank=True, related_name="requests")
    sent_at = models.DateTimeField()
    operation = models.CharField(max_length=40)
    method = models.CharField(max_length=6)
    path = EncryptedTextField()
    query = EncryptedTextField(blank=True)
    body = EncryptedTextField(blank=True)
    digest = models.CharField(max_length=64)
    idempotency_key = models.UUIDField(null=True, blank=True)
    policy_version = models.CharField(max_length=10)
    # The HTTP status, null when no complete reply came; `error_code` then says why.
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    replayed = models.BooleanField(default=False)

    class Meta:
        permissions = [("take_evidence", "Can see and take the evidence report of a month")]
        # "Has this very request left before?" is asked of each candidate of a scan.
        indexes = [models.Index(fields=["digest"], name="outbound_request_by_digest")]

    def __str__(self) -> str:
        return f"{self.operation} {self.digest[:12]}"
