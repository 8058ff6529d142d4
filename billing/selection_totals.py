"""What a selection of invoices adds up to: for the list of the console, and for those that are ticked in it.

The cost is bounded: of a longer selection the newest invoices are added up, and whoever shows it says so.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BigIntegerField, Case, F, Q, QuerySet, When

from billing.models import InvoiceStatus
from billing.money_overview import CLAIMED, with_what_is_due

# A month of 10,000 offices. Beside a million invoices it takes 0.1 s to add up so many (bin/bench pages).
LONGEST_SUM = 10_000

_BILLED = Q(closed_at__isnull=False) & ~Q(status=InvoiceStatus.CANCELED)
_GROUPED = "SELECT currency, status, COUNT(*), SUM(billed), SUM(due) FROM ({}) AS newest GROUP BY currency, status"


@dataclass(slots=True)
class Sums:
    """Of one currency, in cents: what was closed and not canceled, what of it is paid, what is due of what was sent."""

    billed: int = 0
    paid: int = 0
    owed: int = 0


@dataclass(slots=True)
class SelectionTotals:
    """How many invoices of each status were added up, and what they come to by currency."""

    numbers: Counter[InvoiceStatus] = field(default_factory=Counter)
    sums: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))

    @property
    def number(self) -> int:
        """How many invoices were added up."""
        return self.numbers.total()


def totals_of(invoices: QuerySet[Any]) -> SelectionTotals:
    """Add up these invoices, or the newest LONGEST_SUM of them, in one query."""
    totals = SelectionTotals()
    for currency, status, number, billed, due in _grouped(invoices):
        totals.numbers[InvoiceStatus(status)] += number
        sums = totals.sums[currency]
        sums.billed += int(billed)
        sums.paid += int(billed) if status == InvoiceStatus.PAID else 0
        sums.owed += int(due)
    return totals


def _grouped(invoices: QuerySet[Any]) -> list[tuple[Any, ...]]:
    newest = with_what_is_due(invoices).annotate(
        billed=Case(When(_BILLED, then="total_cents"), default=0, output_field=BigIntegerField()),
        due=Case(When(CLAIMED, then=F("owed")), default=0, output_field=BigIntegerField()),
    )
    columns = newest.order_by("-created_at", "-pk").values_list("currency", "status", "billed", "due")
    try:
        # The ORM groups no list that is cut; joined with the table again, all invoices would be read.
        sql, params = columns[:LONGEST_SUM].query.sql_with_params()
    except EmptyResultSet:  # Django knows without asking: filtered by an empty list
        return []
    with connection.cursor() as cursor:
        cursor.execute(_GROUPED.format(sql), params)
        return list(cursor.fetchall())
