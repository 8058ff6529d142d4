"""Offices (the customers), what they pay under, and what holds for them from when on.

Everything that may change the price of a cycle is a dated row: what holds at a cycle's start holds for the
whole cycle (decisions.md 2). The current value is the latest row; the past is never overwritten.
"""

import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from offices.encryption import EncryptedTextField

# What an office starts with holds since before any record, so that a backfill finds terms (decisions.md 12).
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
BEGINNING_DAY = date(2000, 1, 1)

REFERENCE_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
# Without 0/O, 1/I/L: the name is read out over the phone.
_OPAQUE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


def new_reference() -> str:
    """Return a random office reference, for offices that came without one."""
    return f"office-{secrets.token_hex(6)}"


def new_opaque_name() -> str:
    """Return a display name that says nothing, such as `Office 8F3K2Q` (privacy.md, "Office profile")."""
    return "Office " + "".join(secrets.choice(_OPAQUE_ALPHABET) for _ in range(8))


class Plan(models.Model):
    """What an office pays under; its price is a list of dated versions."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    setup_fee_cents = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(setup_fee_cents__gte=0), name="plan_setup_fee_not_negative")]

    def __str__(self) -> str:
        return self.code


class PlanPrice(models.Model):
    """A price version: cents per patient account and cycle, for cycles that start on `effective_on` or later."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices")
    effective_on = models.DateField()
    unit_price_cents = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "effective_on"], name="plan_price_one_version_per_day"),
            models.CheckConstraint(condition=Q(unit_price_cents__gte=0), name="plan_price_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} from {self.effective_on}"


class CollectionMethod(models.TextChoices):
    """How Stripe collects."""

    SEND_INVOICE = "send_invoice"
    CHARGE_AUTOMATICALLY = "charge_automatically"


class OfficeStatus(models.TextChoices):
    """What an office is to us. `past_due` is derived from unpaid invoices and never stored (product.md rule 8)."""

    TRIALING = "trialing"
    ACTIVE = "active"
    CANCELED = "canceled"
    INACTIVE = "inactive"


LIVE_STATUSES = frozenset({OfficeStatus.TRIALING, OfficeStatus.ACTIVE})


class Office(models.Model):
    """A clinic, our customer. `id` is the API's `office_id`; `reference` names it in commands, CSV and audit."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(
        max_length=64, unique=True, default=new_reference, validators=[RegexValidator(REFERENCE_PATTERN)]
    )
    name = models.CharField(max_length=200)
    billing_email = models.EmailField(blank=True)
    opaque_name = models.CharField(max_length=40, unique=True, default=new_opaque_name, editable=False)
    billing_cycle_anchor_date = models.DateField()
    collection_method = models.CharField(
        max_length=20, choices=CollectionMethod.choices, default=CollectionMethod.SEND_INVOICE
    )
    days_until_due = models.PositiveSmallIntegerField(default=30)
    currency = models.CharField(max_length=3, default="USD")
    created_at = models.DateTimeField()
    # Three facts of billing that offices must know; billing writes them (decisions.md 33).
    first_cycle_opened_at = models.DateTimeField(null=True, blank=True)
    past_due_since = models.DateTimeField(null=True, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [("export_office", "Can export offices")]
        constraints = [
            models.CheckConstraint(
                condition=Q(collection_method__in=CollectionMethod.values), name="office_collection_method_known"
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="office_currency_is_iso_4217"),
            models.CheckConstraint(condition=Q(reference__regex=REFERENCE_PATTERN), name="office_reference_opaque"),
        ]

    def __str__(self) -> str:
        return self.reference


class OfficeStatusChange(models.Model):
    """From `effective_at` on the office has this status."""

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="status_changes")
    status = models.CharField(max_length=10, choices=OfficeStatus.choices)
    effective_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["office", "effective_at"], name="office_status_one_change_per_instant"),
            models.CheckConstraint(condition=Q(status__in=OfficeStatus.values), name="office_status_known"),
        ]

    def __str__(self) -> str:
        return self.status


class OfficeZone(models.Model):
    """From `effective_at` on the office lives in this zone; it takes effect with the next cycle."""

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="zones")
    timezone = models.CharField(max_length=64)
    effective_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["office", "effective_at"], name="office_zone_one_change_per_instant")
        ]

    def __str__(self) -> str:
        return self.timezone


class OfficePlan(models.Model):
    """From `effective_at` on the office is under this plan; it takes effect with the next cycle."""

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="plans")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    effective_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["office", "effective_at"], name="office_plan_one_change_per_instant")
        ]

    def __str__(self) -> str:
        return f"plan {self.plan_id}"


class PriceOverride(models.Model):
    """A price of its own for one office, for cycles that start in [starts_on, ends_on)."""

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="price_overrides")
    unit_price_cents = models.BigIntegerField()
    starts_on = models.DateField()
    ends_on = models.DateField()
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(unit_price_cents__gte=0), name="price_override_not_negative"),
            models.CheckConstraint(condition=Q(ends_on__gt=F("starts_on")), name="price_override_has_an_end"),
            models.CheckConstraint(condition=~Q(reason=""), name="price_override_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.unit_price_cents} cents until {self.ends_on}"


class OfficeStripeAccount(models.Model):
    """The office at Stripe: a row apart, so that lists of offices never decrypt (performance.md, "Reads")."""

    # For key rotation: index -> what it is made from, and its context.
    BLIND_INDEXES: ClassVar[Mapping[str, tuple[str, str]]] = MappingProxyType(
        {
            "customer_index": ("customer_id", "offices.officestripeaccount.customer_id"),
            "subscription_index": ("subscription_id", "offices.officestripeaccount.subscription_id"),
        }
    )

    office = models.OneToOneField(Office, on_delete=models.PROTECT, primary_key=True, related_name="stripe_account")
    customer_id = EncryptedTextField()
    customer_index = models.CharField(max_length=64)
    customer_index_key = models.CharField(max_length=12)
    subscription_id = EncryptedTextField(null=True, blank=True)
    subscription_index = models.CharField(max_length=64, null=True, blank=True)
    subscription_index_key = models.CharField(max_length=12, null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer_index"], name="stripe_account_customer_once"),
            models.UniqueConstraint(fields=["subscription_index"], name="stripe_account_subscription_once"),
        ]

    def __str__(self) -> str:
        return f"Stripe account of {self.office_id}"
