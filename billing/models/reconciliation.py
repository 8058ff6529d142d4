"""Reconciliation: its runs and the differences found."""

import uuid

from django.db import models
from django.db.models import Q

from billing.models.invoice import Invoice
from offices.encryption import EncryptedTextField
from offices.models import Office


class ReconciliationPhase(models.TextChoices):
    """How far a run has come; each page of a phase is a checkpoint."""

    INVOICES = "invoices"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    CREDIT_NOTES = "credit_notes"
    CUSTOMERS = "customers"
    ITEMS = "items"
    COMPARE = "compare"
    BOOKS = "books"
    DONE = "done"


class ReconciliationRun(models.Model):
    """One comparison of our books with Stripe's for the invoices made in [window_from, window_until).

    The row is the checkpoint: a run that was killed goes on at `phase` after `cursor`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    actor = models.CharField(max_length=100)
    # What was asked for: a month of cycles, an office, or all (empty).
    cycle_key = models.CharField(max_length=7, blank=True)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    window_from = models.DateTimeField()
    window_until = models.DateTimeField()
    phase = models.CharField(max_length=20, choices=ReconciliationPhase.choices, default=ReconciliationPhase.INVOICES)
    cursor = models.CharField(max_length=80, blank=True)
    # Only invoices closed since then are compared; null: all of them.
    since = models.DateTimeField(null=True, blank=True)
    # Opened and ended no discrepancy; never resumed as a run that does.
    dry_run = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    # What staff watch: our invoices in scope, how many of them were compared, when the checkpoint was last moved, and
    # why the run stands still (empty: it does not).
    total = models.PositiveIntegerField(default=0)
    compared = models.PositiveIntegerField(default=0)
    advanced_at = models.DateTimeField(null=True, blank=True)
    stopped = models.CharField(max_length=30, blank=True)
    # The balance of every month as of its end, as JSON (reconciliation/balance.py); only with runs of all offices.
    balances = models.TextField(blank=True)
    invoices_seen = models.PositiveIntegerField(default=0)
    found = models.PositiveIntegerField(default=0)
    repaired = models.PositiveIntegerField(default=0)

    class Meta:
        permissions = [("compare_books", "Can have our books compared with Stripe's")]
        constraints = [
            models.CheckConstraint(
                condition=Q(phase__in=ReconciliationPhase.values), name="reconciliation_run_phase_known"
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True) | Q(phase=ReconciliationPhase.DONE),
                name="reconciliation_run_finished_when_done",
            ),
        ]
        indexes = [models.Index(fields=["-started_at"], name="reconciliation_run_by_time")]

    def __str__(self) -> str:
        return f"reconciliation {self.cycle_key or 'of all'}"


class DiscrepancyKind(models.TextChoices):
    """What differs; `docs/reconciliation.md` says for each what it means and what is proposed."""

    MISSING_AT_STRIPE = "missing_at_stripe"
    UNKNOWN_TO_US = "unknown_to_us"
    DUPLICATE_AT_STRIPE = "duplicate_at_stripe"
    TOTAL = "total"
    CURRENCY = "currency"
    CUSTOMER = "customer"
    LINE_COUNT = "line_count"
    LINE_QUANTITY = "line_quantity"
    LINE_PRICE = "line_price"
    PAID_THERE = "paid_there"
    PAID_HERE = "paid_here"
    CANCELED_THERE = "canceled_there"
    CANCELED_HERE = "canceled_here"
    FAILED_THERE = "failed_there"
    SENT_THERE = "sent_there"
    WRITTEN_OFF_THERE = "written_off_there"
    PAID_AFTER_CANCEL = "paid_after_cancel"
    PAYMENT_MISSING = "payment_missing"
    OUT_OF_BAND_PAYMENT = "out_of_band_payment"
    OVERPAID = "overpaid"
    UNDERPAID = "underpaid"
    REFUND = "refund"
    PARTIAL_REFUND = "partial_refund"
    DISPUTE = "dispute"
    CREDIT_NOTE = "credit_note"
    CUSTOMER_BALANCE = "customer_balance"
    STUCK_DRAFT = "stuck_draft"
    FINALIZATION_FAILED = "finalization_failed"
    TEXT_CHANGED = "text_changed"
    METADATA_CHANGED = "metadata_changed"
    PROFILE_CHANGED = "profile_changed"
    CUSTOMER_DELETED = "customer_deleted"
    CUSTOMER_DUPLICATE = "customer_duplicate"
    INVOICE_DELETED = "invoice_deleted"
    CHARGE_WITHOUT_INVOICE = "charge_without_invoice"
    ACTIVE_NOT_CHARGED = "active_not_charged"
    CHARGED_NEVER_ACTIVE = "charged_never_active"
    LATE_EVENT = "late_event"
    ORPHAN_MESSAGE = "orphan_message"
    ORPHAN_ITEM = "orphan_item"
    BOOKS_CHANGED_BY_HAND = "books_changed_by_hand"


class RepairKind(models.TextChoices):
    """What is proposed: `pull` takes what Stripe decided and needs nobody; the others wait for staff."""

    PULL = "pull"
    SEND = "send"
    CANCEL = "cancel"
    REPLACE = "replace"
    CREDIT = "credit"
    BILL = "bill"
    UPDATE_PROFILE = "update_profile"
    NEW_CUSTOMER = "new_customer"
    LOOK = "look"


class DiscrepancyStatus(models.TextChoices):
    """Where a discrepancy is: open, mended, gone by itself, or accepted by a person with a reason."""

    OPEN = "open"
    REPAIRED = "repaired"
    GONE = "gone"
    ACCEPTED = "accepted"


class Discrepancy(models.Model):
    """A difference between our books and Stripe's, typed, with the evidence of both sides as numbers and codes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=30, choices=DiscrepancyKind.choices)
    status = models.CharField(max_length=10, choices=DiscrepancyStatus.choices, default=DiscrepancyStatus.OPEN)
    # What it is about: "invoice:<our id>", "stripe:<their id>", "office:<id>", "cycle:<id>", "message:<id>".
    subject = models.CharField(max_length=120)
    office = models.ForeignKey(Office, on_delete=models.PROTECT, null=True, blank=True, related_name="discrepancies")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="discrepancies")
    cycle_key = models.CharField(max_length=7, blank=True)
    # Cents at stake, for sorting; 0 where no money is.
    amount_cents = models.BigIntegerField(default=0)
    # Canonical JSON of numbers, codes and ids: never text that somebody typed at Stripe.
    ours = models.TextField(default="{}")
    theirs = models.TextField(default="{}")
    repair = models.CharField(max_length=20, choices=RepairKind.choices)
    # The run that saw it last; null when an event told it and no run has come by yet.
    run = models.ForeignKey(
        ReconciliationRun, on_delete=models.PROTECT, null=True, blank=True, related_name="discrepancies"
    )
    found_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    owner = models.CharField(max_length=100, blank=True)
    # Staff's own words, sealed.
    note = EncryptedTextField(blank=True, default="")
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=100, blank=True)

    class Meta:
        verbose_name_plural = "discrepancies"
        permissions = [
            ("resolve_discrepancy", "Can look into a discrepancy and propose a repair"),
            ("export_discrepancy", "Can export discrepancies"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(status=DiscrepancyStatus.OPEN),
                name="discrepancy_open_once_per_subject",
            ),
            models.CheckConstraint(condition=Q(kind__in=DiscrepancyKind.values), name="discrepancy_kind_known"),
            models.CheckConstraint(condition=Q(status__in=DiscrepancyStatus.values), name="discrepancy_status_known"),
            models.CheckConstraint(
                condition=Q(status=DiscrepancyStatus.OPEN, ended_at__isnull=True)
                | (~Q(status=DiscrepancyStatus.OPEN) & Q(ended_at__isnull=False) & ~Q(ended_by="")),
                name="discrepancy_ended_by_somebody",
            ),
        ]
        indexes = [
            models.Index(
                fields=["-found_at"], condition=Q(status=DiscrepancyStatus.OPEN), name="discrepancy_open_by_time"
            ),
            models.Index(fields=["office", "-found_at"], name="discrepancy_by_office"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
