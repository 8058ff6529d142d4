"""The billing cycle: one billing month of one office, with the terms that were frozen at its start."""

from django.db import models
from django.db.models import F, Q

from offices.models import Office, OfficeStatus, Plan, PlanPrice, PriceOverride


class BillingCycle(models.Model):
    """A cycle is a row; the run looks at cycles, never at invoices (decisions.md 1).

    [start_at, end_at) are instants, [start_date, end_date) the local dates behind them. Cycles of an office never
    overlap: `billing_cycle_never_overlaps` is an exclusion constraint on PostgreSQL and a trigger on SQLite.
    """

    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="cycles")
    # Months since the anchor's month; negative for cycles that start before the anchor.
    index = models.IntegerField()
    key = models.CharField(max_length=7)
    start_date = models.DateField()
    end_date = models.DateField()
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()

    # The frozen terms: they hold for every line of this cycle, late adjustments included (decisions.md 2).
    zone = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=OfficeStatus.choices)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    price_version = models.ForeignKey(PlanPrice, on_delete=models.PROTECT, related_name="+")
    price_override = models.ForeignKey(PriceOverride, on_delete=models.PROTECT, null=True, related_name="+")
    unit_price_cents = models.BigIntegerField()

    opened_at = models.DateTimeField()
    # Set once the patients who were active at the start have their lines (product.md rule 4).
    carried_over_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    # At close: the id of the last activity period that was counted. Later ones become adjustments.
    last_period_id = models.BigIntegerField(null=True, blank=True)
    # At close: how many patient accounts were charged, to notice a sudden growth (decisions.md 20).
    patient_count = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["office", "index"], name="billing_cycle_one_per_index"),
            models.UniqueConstraint(fields=["office", "key"], name="billing_cycle_one_per_month"),
            models.CheckConstraint(condition=Q(end_at__gt=F("start_at")), name="billing_cycle_not_empty"),
            models.CheckConstraint(condition=Q(unit_price_cents__gte=0), name="billing_cycle_price_not_negative"),
            models.CheckConstraint(
                condition=Q(key__regex=r"^[0-9]{4}-(0[1-9]|1[0-2])$"), name="billing_cycle_key_is_a_month"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, last_period_id__isnull=True)
                | Q(closed_at__isnull=False, last_period_id__isnull=False, carried_over_at__isnull=False),
                name="billing_cycle_closed_after_carry_over",
            ),
        ]
        indexes = [
            models.Index(fields=["end_at"], condition=Q(closed_at__isnull=True), name="billing_cycle_open_by_end"),
            # Staff look at a month of all offices: its close, its filter in each list, the first page.
            models.Index(fields=["key"], name="billing_cycle_by_key"),
            # Which offices reach beyond an instant, closed or not: asked by each run and each look at what is due.
            models.Index(fields=["end_at"], name="billing_cycle_by_end"),
        ]

    def __str__(self) -> str:
        return f"cycle {self.key}"
