"""Payments as Stripe reports them: rows taken from Stripe, never typed in."""

from django.db import models
from django.db.models import Q

from billing.models.invoice import Invoice


class PaymentStatus(models.TextChoices):
    """Stripe's states of an invoice payment."""

    OPEN = "open"
    PAID = "paid"
    CANCELED = "canceled"


class Payment(models.Model):
    """One invoice payment at Stripe (`inpay_...`): an attempt that is open, paid or canceled."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    stripe_payment_id = models.CharField(max_length=80)
    payment_intent_id = models.CharField(max_length=80, blank=True)
    charge_id = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=10, choices=PaymentStatus.choices)
    amount_requested_cents = models.BigIntegerField()
    amount_paid_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    paid_at = models.DateTimeField(null=True, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stripe_payment_id"], name="payment_stripe_id_once"),
            models.CheckConstraint(condition=Q(status__in=PaymentStatus.values), name="payment_status_known"),
            models.CheckConstraint(
                condition=Q(amount_requested_cents__gte=0, amount_paid_cents__gte=0),
                name="payment_amounts_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_payment_id
