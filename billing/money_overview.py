"""What was billed, what came in and what is owed, over all offices: for the first page of the console.

What is owed is derived as for one invoice (`payment_state.InvoiceMoney.due`), by the database: four sums of months and
one of unpaid invoices, however many there are.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.core.cache import cache
from django.db.models import BigIntegerField, Case, Count, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value, When
from django.db.models.functions import Coalesce, Greatest

from billing.models import (
    BillingCycle,
    CreditNote,
    CreditNoteStatus,
    Invoice,
    InvoiceStatus,
    Payment,
    PaymentStatus,
)
from patients.models import ActivityPeriod

UNPAID = (InvoiceStatus.SENT, InvoiceStatus.FAILED)
# What was written off is claimed no more.
CLAIMED = Q(status__in=UNPAID) & ~Q(status=InvoiceStatus.FAILED, written_off_at__isnull=False)


class Age(StrEnum):
    """For how many days an unpaid invoice has been due."""

    NOT_DUE = "not due yet"
    FIRST = "0-30"
    SECOND = "31-60"
    THIRD = "61-90"
    OLDEST = "90+"


_REMEMBERED, _NEWEST = "month-figures:", 2
# The days after which an age ends; what is older than all of them is the oldest.
_LAST_DAY = {Age.FIRST: 30, Age.SECOND: 60, Age.THIRD: 90}


@dataclass(slots=True)
class MonthFigures:
    """Of the invoices for one month of cycles: accounts charged; cents billed and collected, by currency."""

    accounts: int = 0
    billed: dict[str, int] = field(default_factory=dict)
    collected: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Owed:
    """How many invoices are unpaid, and the cents that are due on them, by currency."""

    invoices: int = 0
    cents: dict[str, int] = field(default_factory=dict)


def month_figures(keys: Sequence[str]) -> dict[str, MonthFigures]:
    """Return the figures of each of these months, in three queries."""
    figures: dict[str, MonthFigures] = {key: MonthFigures() for key in keys}
    if not keys:
        return figures
    cycles = BillingCycle.objects.filter(key__in=keys).order_by().values_list("key")
    for key, accounts in cycles.annotate(sum=Sum("patient_count")):
        figures[key].accounts = accounts or 0
    billed = Invoice.objects.filter(cycle__key__in=keys, closed_at__isnull=False).exclude(status=InvoiceStatus.CANCELED)
    for key, currency, cents in _by_month(billed, "cycle__key", "total_cents"):
        figures[key].billed[currency] = cents
    paid = Payment.objects.filter(invoice__cycle__key__in=keys, status=PaymentStatus.PAID)
    for key, currency, cents in _by_month(paid, "invoice__cycle__key", "amount_paid_cents"):
        figures[key].collected[currency] = cents
    return figures


def remembered_figures(keys: Sequence[str]) -> dict[str, MonthFigures]:
    """Return the same for very large books, newest month first: as they were two minutes ago at most.

    Of months before the newest two it may be half an hour: their cycles are closed, and only a late payment still
    changes them. Each is forgotten at another moment, so that hardly any page reads them all at once.
    """
    known: dict[str, MonthFigures] = cache.get_many([_REMEMBERED + key for key in keys])
    read = month_figures([key for key in keys if _REMEMBERED + key not in known])
    for place, key in enumerate(keys):
        if key in read:
            seconds = (60, 120) if place < _NEWEST else (600, 1_800)
            cache.set(_REMEMBERED + key, read[key], timeout=random.uniform(*seconds))  # noqa: S311 - jitter, no secret
    return {key: read[key] if key in read else known[_REMEMBERED + key] for key in keys}


def _by_month(rows: QuerySet[Any], key: str, cents: str) -> QuerySet[Any]:
    summed: QuerySet[Any] = rows.order_by().values_list(key, "currency").annotate(sum=Coalesce(Sum(cents), 0))
    return summed


def active_accounts() -> int:
    """Return how many patient accounts are active now."""
    return ActivityPeriod.objects.filter(deactivated_at__isnull=True).count()


def not_paid_by_status() -> dict[str, int]:
    """Count the invoices of each status but paid, by an index that holds just these."""
    rows = Invoice.objects.exclude(status=InvoiceStatus.PAID).order_by().values_list("status")
    return dict.fromkeys(InvoiceStatus.values, 0) | dict(rows.annotate(number=Count("pk")))


def owed_by_age(now: datetime) -> dict[Age, Owed]:
    """Return what is owed on sent invoices, by the time since it was due."""
    owed: dict[Age, Owed] = defaultdict(Owed, {age: Owed() for age in Age})
    rows = with_what_is_due(still_claimed(Invoice.objects.all())).annotate(age=_age(now)).order_by()
    summed = rows.values_list("age", "currency").annotate(number=Count("pk"), sum=Sum("owed"))
    for age, currency, number, cents in summed:
        owed[Age(age)].invoices += number
        owed[Age(age)].cents[currency] = cents
    return dict(owed)


def of_age(invoices: QuerySet[Any], age: Age, now: datetime) -> QuerySet[Any]:
    """Keep the unpaid invoices of this age."""
    aged: QuerySet[Any] = still_claimed(invoices).annotate(age=_age(now)).filter(age=age.value)
    return aged


def still_claimed(invoices: QuerySet[Any]) -> QuerySet[Any]:
    """Keep what is still claimed; charged at once, an invoice has no day, and is due since it failed or was sent."""
    since: QuerySet[Any] = invoices.filter(CLAIMED).annotate(due_since=Coalesce("due_at", "failed_at", "sent_at"))
    return since


def with_what_is_due(invoices: QuerySet[Any]) -> QuerySet[Any]:
    """Add to each unpaid invoice what is due on it, in cents, as `owed`."""
    paid = Payment.objects.filter(invoice=OuterRef("pk"), status=PaymentStatus.PAID)
    credited = CreditNote.objects.filter(invoice=OuterRef("pk"), status=CreditNoteStatus.ISSUED)
    due = (
        Coalesce("total_cents", 0)
        - _sum(paid.values("invoice"), "amount_paid_cents")
        - _sum(credited.values("invoice"), "before_payment_cents")
    )
    owing: QuerySet[Any] = invoices.annotate(owed=Greatest(due, 0, output_field=BigIntegerField()))
    return owing


def _sum(rows: QuerySet[Any], column: str) -> Coalesce:
    summed = Subquery(rows.order_by().annotate(sum=Sum(column)).values("sum"), output_field=BigIntegerField())
    return Coalesce(summed, 0, output_field=BigIntegerField())


def _age(now: datetime) -> Case:
    """Return the age in whole days begun: the first ends with the last moment of its 30th day."""
    ages = [
        When(due_since__gt=now - timedelta(days=days + 1), then=Value(age.value)) for age, days in _LAST_DAY.items()
    ]
    not_due = When(due_since__gt=now, then=Value(Age.NOT_DUE.value))
    return Case(not_due, *ages, default=Value(Age.OLDEST.value), output_field=TextField())
