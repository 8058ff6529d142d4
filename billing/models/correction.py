"""Corrections of sent invoices: asked for by one person, decided by another, delivered through the outbox."""

import uuid

from django.db import models
from django.db.models import F, Q

from billing.models.invoice import Invoice, LineItem
from offices.encryption import EncryptedTextField


class CorrectionKind(models.TextChoices):
    """What is done about an invoice that was sent."""

    CANCEL = "cancel"
    REPLACE = "replace"
    CREDIT = "credit"
    WRITE_OFF = "write_off"
    OFFLINE_PAYMENT = "offline_payment"
    RETRY = "retry"


# All but a new try of the same payment move or forgive money, and so need a second person.
NEEDS_SECOND_PERSON = tuple(kind for kind in CorrectionKind if kind != CorrectionKind.RETRY)


class CorrectionStatus(models.TextChoices):
    """Where a correction is: asked for, under way at Stripe, or ended."""

    REQUESTED = "requested"
    APPROVED = "approved"
    DONE = "done"
    # Stripe had decided otherwise meanwhile, such as paid before it could be voided.
    OVERTAKEN = "overtaken"
    REJECTED = "rejected"
    EXPIRED = "expired"


OPEN_CORRECTIONS = (CorrectionStatus.REQUESTED, CorrectionStatus.APPROVED)


class CorrectionReason(models.TextChoices):
    """The catalogue of reasons; free words stay in the sealed note."""

    DUPLICATE = "duplicate"
    BILLED_IN_ERROR = "billed_in_error"
    WRONG_PRICE = "wrong_price"
    SERVICE_ISSUE = "service_issue"
    GOODWILL = "goodwill"
    UNCOLLECTIBLE = "uncollectible"
    PAID_BY_CHECK = "paid_by_check"
    PAID_BY_WIRE = "paid_by_wire"
    PAYMENT_RETRY = "payment_retry"
    FRAUD = "fraud"


class PaybackChannel(models.TextChoices):
    """How a credit on a paid invoice reaches the office."""

    STRIPE = "stripe"
    OUT_OF_BAND = "out_of_band"


class Correction(models.Model):
    """One request to correct an invoice. The row is the proof of who asked, who decided, when and why."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="corrections")
    kind = models.CharField(max_length=20, choices=CorrectionKind.choices)
    status = models.CharField(max_length=10, choices=CorrectionStatus.choices, default=CorrectionStatus.REQUESTED)
    reason = models.CharField(max_length=20, choices=CorrectionReason.choices)
    # Staff's own words: internal only, sealed, never sent.
    note = EncryptedTextField(blank=True, default="")
    # Cents of a credit, or of an offline payment; null where the whole invoice is meant.
    amount_cents = models.BigIntegerField(null=True, blank=True)
    payback = models.CharField(max_length=12, choices=PaybackChannel.choices, blank=True)
    # The invoice's version that the person saw: what changed since must be looked at again.
    invoice_version = models.PositiveIntegerField()
    requested_by = models.CharField(max_length=100)
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_by = models.CharField(max_length=100, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # A code, such as Stripe's own for a declined retry.
    outcome = models.CharField(max_length=60, blank=True)

    class Meta:
        permissions = [
            ("request_correction", "Can ask for the correction of an invoice"),
            ("approve_correction", "Can decide about a correction that somebody else asked for"),
            ("export_correction", "Can export corrections"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(status__in=OPEN_CORRECTIONS), name="correction_one_open_per_invoice"
            ),
            models.CheckConstraint(condition=Q(kind__in=CorrectionKind.values), name="correction_kind_known"),
            models.CheckConstraint(condition=Q(status__in=CorrectionStatus.values), name="correction_status_known"),
            models.CheckConstraint(
                condition=~Q(kind__in=NEEDS_SECOND_PERSON)
                | ~Q(status__in=[CorrectionStatus.APPROVED, CorrectionStatus.DONE, CorrectionStatus.OVERTAKEN])
                | (~Q(decided_by="") & ~Q(decided_by=F("requested_by"))),
                name="correction_approved_by_a_second_person",
            ),
            models.CheckConstraint(
                # A comparison with null is neither true nor false, and a constraint lets that pass.
                condition=~Q(kind=CorrectionKind.CREDIT) | Q(amount_cents__isnull=False, amount_cents__gt=0),
                name="correction_credit_has_an_amount",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("requested_at")), name="correction_expires_later"),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(status=CorrectionStatus.REQUESTED),
                name="correction_waiting_by_expiry",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class DroppedLine(models.Model):
    """A line that a replacement leaves out: charged in error."""

    correction = models.ForeignKey(Correction, on_delete=models.PROTECT, related_name="dropped_lines")
    line_item = models.ForeignKey(LineItem, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["correction", "line_item"], name="dropped_line_once_per_correction")
        ]

    def __str__(self) -> str:
        return f"dropped {self.line_item_id}"
