"""Payments as Stripe reports them: rows taken from Stripe, never typed in."""

from django.db import models
from django.db.models import Q

from billing.models.invoice import Invoice


class PaymentStatus(models.TextChoices):
    """Stripe's states of an invoice payment."""

    OPEN = "open"
    PAID = "paid"
    CANCELED = "canceled"


class PaymentChannel(models.TextChoices):
    """Which way the money came: through Stripe, or past it (check, wire)."""

    STRIPE = "stripe"
    OUT_OF_BAND = "out_of_band"


class Payment(models.Model):
    """One payment of an invoice: an attempt that is open, paid or canceled.

    Through Stripe it is an invoice payment there (`inpay_...`). Out of band Stripe only says that the invoice is paid:
    one row without an id of Stripe's holds what no payment of Stripe's explains.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    channel = models.CharField(max_length=12, choices=PaymentChannel.choices, default=PaymentChannel.STRIPE)
    stripe_payment_id = models.CharField(max_length=80, null=True, blank=True)
    payment_intent_id = models.CharField(max_length=80, blank=True)
    charge_id = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=10, choices=PaymentStatus.choices)
    # A bank debit is under way: neither paid nor failed for days.
    processing = models.BooleanField(default=False)
    amount_requested_cents = models.BigIntegerField()
    amount_paid_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    paid_at = models.DateTimeField(null=True, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        permissions = [("export_payment", "Can export payments")]
        constraints = [
            models.UniqueConstraint(fields=["stripe_payment_id"], name="payment_stripe_id_once"),
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(channel=PaymentChannel.OUT_OF_BAND),
                name="payment_out_of_band_once_per_invoice",
            ),
            models.CheckConstraint(condition=Q(status__in=PaymentStatus.values), name="payment_status_known"),
            models.CheckConstraint(
                condition=Q(channel=PaymentChannel.STRIPE, stripe_payment_id__isnull=False)
                | Q(channel=PaymentChannel.OUT_OF_BAND, stripe_payment_id__isnull=True, status=PaymentStatus.PAID),
                name="payment_through_stripe_has_its_id",
            ),
            models.CheckConstraint(
                condition=Q(amount_requested_cents__gte=0, amount_paid_cents__gte=0),
                name="payment_amounts_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["payment_intent_id"], name="payment_by_intent"),
            models.Index(fields=["charge_id"], name="payment_by_charge"),
        ]

    def __str__(self) -> str:
        return self.stripe_payment_id or self.channel
