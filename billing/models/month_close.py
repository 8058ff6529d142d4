"""The close of a month: signed by two people, and locked from then on."""

from django.db import models
from django.db.models import F, Q


class MonthClose(models.Model):
    """The signatures under one month of cycles. Locked with the second one: a trigger refuses what comes later.

    `month_locked` covers the cycles with this key and their invoices (decisions.md 41); what Stripe says of their
    payment still comes in, and late activity becomes an adjustment of an open cycle.
    """

    key = models.CharField(max_length=7, primary_key=True)
    first_signed_by = models.CharField(max_length=100)
    first_signed_at = models.DateTimeField()
    second_signed_by = models.CharField(max_length=100, blank=True)
    locked_at = models.DateTimeField(null=True, blank=True)
    # What was signed, as canonical JSON: {"invoices": 40, "total_cents": {"USD": 123400}}.
    signed = models.TextField()

    class Meta:
        permissions = [("sign_month", "Can sign a month")]
        constraints = [
            models.CheckConstraint(
                condition=Q(key__regex=r"^[0-9]{4}-(0[1-9]|1[0-2])$"), name="month_close_key_is_a_month"
            ),
            models.CheckConstraint(
                condition=Q(second_signed_by="", locked_at__isnull=True)
                | (~Q(second_signed_by="") & Q(locked_at__isnull=False)),
                name="month_close_locked_with_the_second_signature",
            ),
            models.CheckConstraint(
                condition=~Q(second_signed_by=F("first_signed_by")), name="month_close_signed_by_two_people"
            ),
        ]

    def __str__(self) -> str:
        return f"close of {self.key}"
