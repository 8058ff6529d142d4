"""The totals of a list of invoices, in words: above the list, and above what becomes of those that were ticked."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from billing.admin.columns import INVOICE_COLOURS, money_text
from billing.models import InvoiceStatus
from billing.selection_totals import LONGEST_SUM, totals_of


@dataclass(frozen=True, slots=True)
class TotalsShown:
    """A heading, sums by name, and the number of each status with its colour."""

    heading: str
    sums: list[tuple[str, str]]
    statuses: list[tuple[str, str]]


def shown_totals(invoices: QuerySet[Any], *, cut: bool = False) -> TotalsShown:
    """Add up these invoices; `cut` tells that there are more of them than are added up."""
    totals = totals_of(invoices)
    heading = f"{totals.number:,} invoice{'' if totals.number == 1 else 's'}"
    if cut:
        heading = f"The newest {LONGEST_SUM:,} of the invoices below; filter to add up others"
    sums = [
        (name, money_text(cents, currency))
        for currency, each in sorted(totals.sums.items())
        for name, cents in (("Billed", each.billed), ("Paid", each.paid), ("Owed", each.owed))
    ]
    statuses = [
        (f"{number:,} {status.label}", INVOICE_COLOURS.get(status, ""))
        for status in InvoiceStatus
        if (number := totals.numbers[status])
    ]
    return TotalsShown(heading, sums, statuses)
