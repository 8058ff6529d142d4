"""What Stripe showed when it was last listed: numbers, codes and ids of invoices, money and customers, no text."""

from django.db import models
from django.db.models import Q

from billing.models.reconciliation import ReconciliationRun
from offices.models import Office

# The office's own index, copied: a rotation of the keys takes the copies along (offices/copied_indexes.py).
_OFFICES_CUSTOMER = "offices.officestripeaccount.customer_index"


class StripeInvoiceCopy(models.Model):
    """What Stripe showed of one invoice when it was last listed: numbers, codes and ids, no text of Stripe's."""

    COPIED_INDEXES = {"customer_index": _OFFICES_CUSTOMER}

    stripe_invoice_id = models.CharField(max_length=80, primary_key=True)
    run = models.ForeignKey(ReconciliationRun, on_delete=models.PROTECT, related_name="copies")
    # The invoice of ours that its metadata names, as it was read; no key, for it may name none.
    own_invoice_id = models.UUIDField(null=True, blank=True)
    own_cycle_key = models.CharField(max_length=7, blank=True)
    own_kind = models.CharField(max_length=10, blank=True)
    # The blind index of the customer id, to find the office by (decisions.md 19).
    customer_index = models.CharField(max_length=64)
    status = models.CharField(max_length=20)
    currency = models.CharField(max_length=3)
    total_cents = models.BigIntegerField()
    amount_paid_cents = models.BigIntegerField()
    amount_remaining_cents = models.BigIntegerField()
    overpaid_cents = models.BigIntegerField(default=0)
    credited_cents = models.BigIntegerField(default=0)
    attempt_count = models.PositiveIntegerField(default=0)
    finalization_failed = models.BooleanField(default=False)
    # The field of a reply that did not fit our types, empty when all did.
    unreadable_field = models.CharField(max_length=60, blank=True)
    # Places that hold words we did not send, by our names of them, and what the detectors say of those words.
    foreign_fields = models.CharField(max_length=200, blank=True)
    foreign_codes = models.CharField(max_length=400, blank=True)
    # Lines as Stripe holds them: canonical JSON of [item type, unit price, quantity, amount].
    lines = models.TextField(default="[]")
    created = models.DateTimeField()
    finalized_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    written_off_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["own_invoice_id"], name="stripe_copy_by_own_invoice"),
            models.Index(fields=["created"], name="stripe_copy_by_creation"),
        ]

    def __str__(self) -> str:
        return self.stripe_invoice_id


class CopyKind(models.TextChoices):
    """The kinds of Stripe's objects that move or claim money, beside invoices."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    CREDIT_NOTE = "credit_note"
    ITEM = "item"


class StripeMoneyCopy(models.Model):
    """What Stripe showed of a payment, refund, dispute, credit note or pending item when it was last listed."""

    COPIED_INDEXES = {"customer_index": _OFFICES_CUSTOMER}

    stripe_id = models.CharField(max_length=80, primary_key=True)
    run = models.ForeignKey(ReconciliationRun, on_delete=models.PROTECT, related_name="money_copies")
    kind = models.CharField(max_length=12, choices=CopyKind.choices)
    # What it hangs on: an invoice there, or the payment intent that a payment of an invoice shares; empty for neither.
    stripe_invoice_id = models.CharField(max_length=80, blank=True)
    payment_intent_id = models.CharField(max_length=80, blank=True)
    customer_index = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=30, blank=True)
    amount_cents = models.BigIntegerField()
    # Of a credit note: the parts that lowered what was due, and that were given back past Stripe.
    before_payment_cents = models.BigIntegerField(default=0)
    out_of_band_cents = models.BigIntegerField(default=0)
    has_foreign_text = models.BooleanField(default=False)
    unreadable_field = models.CharField(max_length=60, blank=True)
    # When the money moved: a payment's time of payment, else when it was made.
    moved_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(kind__in=CopyKind.values), name="stripe_money_kind_known")]
        indexes = [
            models.Index(fields=["stripe_invoice_id"], name="stripe_money_by_invoice"),
            models.Index(fields=["payment_intent_id"], name="stripe_money_by_intent"),
        ]

    def __str__(self) -> str:
        return self.stripe_id


class StripeCustomerCopy(models.Model):
    """What Stripe showed of one customer when it was last listed; whether its profile is ours, never the profile."""

    COPIED_INDEXES = {"customer_index": _OFFICES_CUSTOMER}

    # The blind index of the customer id under the first key: the id itself is never in clear (decisions.md 19).
    customer_index = models.CharField(max_length=64, primary_key=True)
    run = models.ForeignKey(ReconciliationRun, on_delete=models.PROTECT, related_name="customer_copies")
    # The office of ours whose customer it is, by our own books.
    office = models.ForeignKey(Office, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    # The office that its metadata names; no key, for it may name none.
    own_office_id = models.UUIDField(null=True, blank=True)
    balance_cents = models.BigIntegerField()
    deleted = models.BooleanField(default=False)
    # Null where we have never told Stripe a profile.
    profile_is_ours = models.BooleanField(null=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.customer_index[:8]
