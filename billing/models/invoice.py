"""Invoices and their line items: what is owed, and the moves a status may make."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import BaseExpression, Func

from billing.models.cycle import BillingCycle
from offices.encryption import EncryptedTextField
from offices.models import CollectionMethod, Office


class InvoiceType(models.TextChoices):
    """What an invoice is for."""

    MONTHLY = "monthly"
    SETUP_FEE = "setup_fee"
    ONE_OFF = "one_off"


class InvoiceStatus(models.TextChoices):
    """Where an invoice is in its life. "Closed" is a timestamp on a draft, not a status."""

    DRAFT = "draft"
    SENT = "sent"
    PAID = "paid"
    FAILED = "failed"
    CANCELED = "canceled"


# product.md, "Invoice life". `paid` and `canceled` are ends: corrections are new documents.
ALLOWED_MOVES: dict[InvoiceStatus, frozenset[InvoiceStatus]] = {
    # draft -> paid only at total 0 (decisions.md 14); a constraint holds it.
    InvoiceStatus.DRAFT: frozenset({InvoiceStatus.SENT, InvoiceStatus.PAID, InvoiceStatus.CANCELED}),
    InvoiceStatus.SENT: frozenset({InvoiceStatus.PAID, InvoiceStatus.FAILED, InvoiceStatus.CANCELED}),
    InvoiceStatus.FAILED: frozenset({InvoiceStatus.SENT, InvoiceStatus.PAID, InvoiceStatus.CANCELED}),
    InvoiceStatus.PAID: frozenset(),
    InvoiceStatus.CANCELED: frozenset(),
}


class InvoiceOrigin(models.TextChoices):
    """How an invoice came to be: a backfill's drafts are left alone by the run until they are closed."""

    LIVE = "live"
    BACKFILL = "backfill"


class ChargeReason(models.TextChoices):
    """The catalogue of reasons for a one-off charge (product.md rule 7)."""

    SETUP_FEE = "setup_fee"
    TRAINING = "training"
    DATA_MIGRATION = "data_migration"
    CUSTOM_REPORT = "custom_report"
    HARDWARE = "hardware"
    SUPPORT = "support"


class SettlementReason(models.TextChoices):
    """Why an invoice was settled here without Stripe (product.md rule 9)."""

    TRIAL = "trial"
    NOTHING_DUE = "nothing_due"


class ItemType(models.TextChoices):
    """What a line item charges for."""

    PATIENT_ACTIVATION = "patient_activation"
    ACTIVE_PATIENT = "active_patient"
    SETUP_FEE = "setup_fee"
    ONE_OFF = "one_off"
    BASE_FEE = "base_fee"
    MINIMUM = "minimum"
    DISCOUNT = "discount"
    ADJUSTMENT = "adjustment"


CREDIT_TYPES = (ItemType.DISCOUNT, ItemType.ADJUSTMENT)  # the only ones that may be negative (decisions.md 13)
PATIENT_TYPES = (ItemType.PATIENT_ACTIVATION, ItemType.ACTIVE_PATIENT)

_CLOSED_STATUSES = (InvoiceStatus.SENT, InvoiceStatus.PAID, InvoiceStatus.FAILED)


class Invoice(models.Model):
    """A document that an office owes. Frozen when `closed_at` is set: its lines and total never change again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="invoices")
    cycle = models.ForeignKey(BillingCycle, on_delete=models.PROTECT, null=True, blank=True, related_name="invoices")
    invoice_type = models.CharField(max_length=10, choices=InvoiceType.choices)
    status = models.CharField(max_length=10, choices=InvoiceStatus.choices, default=InvoiceStatus.DRAFT)
    origin = models.CharField(max_length=10, choices=InvoiceOrigin.choices, default=InvoiceOrigin.LIVE)
    currency = models.CharField(max_length=3)
    # The frozen total; null while the invoice is open and its total is the sum of its lines.
    total_cents = models.BigIntegerField(null=True, blank=True)
    # How Stripe collects, frozen with the total: a later change of the office is for later invoices.
    collection_method = models.CharField(max_length=20, choices=CollectionMethod.choices, blank=True)
    days_until_due = models.PositiveSmallIntegerField(null=True, blank=True)
    settlement_reason = models.CharField(max_length=20, choices=SettlementReason.choices, blank=True)
    charge_reason = models.CharField(max_length=20, choices=ChargeReason.choices, blank=True)
    # Staff's own words: internal only, encrypted, never sent.
    internal_note = EncryptedTextField(blank=True, default="")
    stripe_invoice_id = models.CharField(max_length=80, null=True, blank=True)
    # The canceled invoice that this one stands in for (decisions.md 16).
    replaces = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replacement")
    # Raised with every change after closing: a worker writes only over the version it read (reliability.md, "Inbox").
    version = models.PositiveIntegerField(default=0)
    attempt_count = models.PositiveIntegerField(default=0)
    # What Stripe received beyond the total, in cents.
    overpaid_cents = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    # Written off at Stripe; it can still be paid or voided there later.
    written_off_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        permissions = [
            ("export_invoice", "Can export invoices"),
            ("close_invoice", "Can have an invoice whose month is over closed now"),
            ("send_invoice", "Can have a closed invoice sent to Stripe now"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["cycle"],
                condition=Q(invoice_type=InvoiceType.MONTHLY) & ~Q(status=InvoiceStatus.CANCELED),
                name="invoice_one_monthly_per_cycle",
            ),
            models.UniqueConstraint(
                fields=["office"],
                condition=Q(invoice_type=InvoiceType.SETUP_FEE) & ~Q(status=InvoiceStatus.CANCELED),
                name="invoice_one_setup_fee_per_office",
            ),
            models.UniqueConstraint(fields=["stripe_invoice_id"], name="invoice_stripe_id_once"),
            models.CheckConstraint(condition=Q(status__in=InvoiceStatus.values), name="invoice_status_known"),
            models.CheckConstraint(condition=Q(invoice_type__in=InvoiceType.values), name="invoice_type_known"),
            models.CheckConstraint(condition=Q(origin__in=InvoiceOrigin.values), name="invoice_origin_known"),
            models.CheckConstraint(
                condition=Q(invoice_type=InvoiceType.MONTHLY, cycle__isnull=False)
                | (~Q(invoice_type=InvoiceType.MONTHLY) & Q(cycle__isnull=True)),
                name="invoice_monthly_has_a_cycle",
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, total_cents__isnull=True)
                | Q(closed_at__isnull=False, total_cents__gte=0),
                name="invoice_total_frozen_at_close",
            ),
            models.CheckConstraint(condition=Q(overpaid_cents__gte=0), name="invoice_overpaid_not_negative"),
            models.CheckConstraint(
                condition=~Q(status__in=_CLOSED_STATUSES) | Q(closed_at__isnull=False),
                name="invoice_closed_before_sent",
            ),
            models.CheckConstraint(
                condition=~Q(status=InvoiceStatus.PAID) | Q(total_cents=0) | Q(sent_at__isnull=False),
                name="invoice_paid_unsent_only_at_zero",
            ),
        ]
        indexes = [
            models.Index(fields=["office", "-created_at", "-id"], name="invoice_by_office"),
            models.Index(fields=["-created_at", "-id"], name="invoice_by_creation"),
            models.Index(
                fields=["due_at"],
                condition=Q(status__in=[InvoiceStatus.SENT, InvoiceStatus.FAILED]),
                name="invoice_unpaid_by_due_date",
            ),
            # What is paid is nearly everything after a year; the rest is what lists and counts ask for.
            models.Index(fields=["status"], condition=~Q(status=InvoiceStatus.PAID), name="invoice_not_paid_by_status"),
            models.Index(
                fields=["cycle"], condition=Q(origin=InvoiceOrigin.BACKFILL), name="invoice_backfilled_by_cycle"
            ),
            models.Index(
                fields=["invoice_type"],
                condition=~Q(invoice_type=InvoiceType.MONTHLY),
                name="invoice_not_monthly_by_type",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class NewUUID(Func):
    """A random UUID made by the database, for rows that a set-based INSERT creates.

    Version 7 (RFC 9562), the time first: a million new keys then go to the end of the index and not all over it, which
    takes a tenth of the month end's time.
    """

    template = (
        "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING "
        "substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), "
        "52, 1), 53, 1), 'hex')::uuid"
    )
    output_field = models.UUIDField()

    def get_group_by_cols(self) -> list[BaseExpression]:
        """Stay out of GROUP BY: a value that differs for every row would undo the grouping."""
        return []

    def as_sqlite(self, *_args: object, **_extra_context: object) -> tuple[str, tuple[str | int, ...]]:
        """Build the same as Django stores it on SQLite: 32 hexadecimal digits."""
        return (
            "(printf('%%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)) || "
            "'7' || substr(lower(hex(randomblob(2))), 2) || "
            "substr('89ab', 1 + (random() & 3), 1) || substr(lower(hex(randomblob(8))), 2))",
            (),
        )


class LineItem(models.Model):
    """One charge. Has no key to the patient: the opaque reference is enough, and it is the privacy rule too.

    `cycle_key` is the month charged for; on an adjustment it is an earlier month than the invoice's. Once the
    invoice is closed a trigger lets nothing change but `live`, to false, when the invoice is canceled.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="line_items")
    item_type = models.CharField(max_length=20, choices=ItemType.choices)
    cycle_key = models.CharField(max_length=7, null=True, blank=True)
    patient_reference = models.UUIDField(null=True, blank=True)
    quantity = models.IntegerField(default=1)
    unit_price_cents = models.BigIntegerField()
    live = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        permissions = [("export_lineitem", "Can export line items")]
        constraints = [
            models.UniqueConstraint(
                fields=["patient_reference", "cycle_key"],
                condition=Q(live=True, patient_reference__isnull=False),
                name="line_item_patient_once_per_cycle",
            ),
            models.CheckConstraint(condition=Q(item_type__in=ItemType.values), name="line_item_type_known"),
            models.CheckConstraint(
                condition=Q(unit_price_cents__gte=0) | Q(item_type__in=CREDIT_TYPES),
                name="line_item_price_not_negative",
            ),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="line_item_quantity_positive"),
            models.CheckConstraint(
                condition=~Q(item_type__in=PATIENT_TYPES)
                | Q(patient_reference__isnull=False, cycle_key__isnull=False, quantity=1),
                name="line_item_patient_charge_names_patient_and_cycle",
            ),
        ]
        indexes = [
            # Few and never in the month end's way: the adjustments of canceled invoices, which are waived.
            models.Index(
                fields=["patient_reference", "cycle_key"],
                condition=Q(live=False, item_type=ItemType.ADJUSTMENT),
                name="line_item_waived_adjustment",
            ),
            # The few among millions that lists are filtered for; none of them is written at a month's end.
            models.Index(
                fields=["item_type", "id"], condition=~Q(item_type__in=PATIENT_TYPES), name="line_item_rare_types"
            ),
            models.Index(fields=["id"], condition=Q(live=False), name="line_item_not_live"),
            models.Index(fields=["patient_reference"], condition=Q(live=False), name="line_item_not_live_by_patient"),
        ]

    def __str__(self) -> str:
        return f"{self.item_type} {self.cycle_key or ''}".strip()


LINE_TOTAL = F("quantity") * F("unit_price_cents")


class HostedInvoicePage(models.Model):
    """The payable link that Stripe hosts: a secret, so encrypted and in a row apart (decisions.md 19)."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, primary_key=True, related_name="hosted_page")
    url = EncryptedTextField()
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"hosted page of {self.invoice_id}"
