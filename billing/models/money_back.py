"""Money that goes back or is contested: refunds, disputes and credit notes, as Stripe reports them."""

from django.db import models
from django.db.models import Q

from billing.models.invoice import Invoice


class RefundStatus(models.TextChoices):
    """Stripe's states of a refund; a failed or canceled one returned to us."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(models.TextChoices):
    """Stripe's states of a dispute; a `warning_*` is an inquiry that took no money."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"


class CreditNoteStatus(models.TextChoices):
    """Stripe's states of a credit note."""

    ISSUED = "issued"
    VOID = "void"


# The refunds whose money is gone or on its way, and the disputes whose money is withdrawn.
REFUNDS_OUT = (RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED)
DISPUTES_OPEN = (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW)


class Refund(models.Model):
    """Money of one invoice that goes back to the payer through Stripe."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="refunds")
    stripe_refund_id = models.CharField(max_length=80)
    payment_intent_id = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=20, choices=RefundStatus.choices)
    amount_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    refunded_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        permissions = [("export_refund", "Can export refunds")]
        constraints = [
            models.UniqueConstraint(fields=["stripe_refund_id"], name="refund_stripe_id_once"),
            models.CheckConstraint(condition=Q(status__in=RefundStatus.values), name="refund_status_known"),
            models.CheckConstraint(condition=Q(amount_cents__gte=0), name="refund_amount_not_negative"),
        ]

    def __str__(self) -> str:
        return self.stripe_refund_id


class Dispute(models.Model):
    """A payment of one invoice that the payer contests at the bank."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="disputes")
    stripe_dispute_id = models.CharField(max_length=80)
    payment_intent_id = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=30, choices=DisputeStatus.choices)
    amount_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    opened_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        permissions = [("export_dispute", "Can export disputes")]
        constraints = [
            models.UniqueConstraint(fields=["stripe_dispute_id"], name="dispute_stripe_id_once"),
            models.CheckConstraint(condition=Q(status__in=DisputeStatus.values), name="dispute_status_known"),
            models.CheckConstraint(condition=Q(amount_cents__gte=0), name="dispute_amount_not_negative"),
        ]

    def __str__(self) -> str:
        return self.stripe_dispute_id


class CreditNote(models.Model):
    """A document that lowers what an invoice claims.

    Before payment it lowers what is due; after payment it gives back, through Stripe (the refund is a row of its own)
    or out of band. `id` is ours and stands in the metadata of those we made; one made at Stripe gets a fresh id.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    stripe_credit_note_id = models.CharField(max_length=80)
    status = models.CharField(max_length=10, choices=CreditNoteStatus.choices)
    amount_cents = models.BigIntegerField()
    before_payment_cents = models.BigIntegerField()
    out_of_band_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    issued_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        permissions = [("export_creditnote", "Can export credit notes")]
        constraints = [
            models.UniqueConstraint(fields=["stripe_credit_note_id"], name="credit_note_stripe_id_once"),
            models.CheckConstraint(condition=Q(status__in=CreditNoteStatus.values), name="credit_note_status_known"),
            models.CheckConstraint(
                condition=Q(amount_cents__gt=0, before_payment_cents__gte=0, out_of_band_cents__gte=0),
                name="credit_note_amounts_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_credit_note_id
