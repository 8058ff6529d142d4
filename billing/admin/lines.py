"""Line items: each charge, with the opaque reference of the account it is for."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from audit.columns import Column, Shown, link, short_id, text, unbroken, when, yes
from billing.admin.columns import amount, computed
from billing.admin.exports import ExportingPage
from billing.admin.pages import Exactly, LineCycleFilter
from billing.exports.sheets import LineItemSheet
from billing.models import LINE_TOTAL, LineItem


def _cycle(line: LineItem) -> Shown:
    return unbroken(line.cycle_key) if line.cycle_key else None


_TYPE = text("item_type", title="charge")
_ACCOUNT = link("patient_reference", "patients_patient", title="patient account")
_UNIT_PRICE = amount("unit_price_cents", title="unit price")
_TOTAL = amount("total", title="total")

CHARGE_COLUMNS: list[Column] = [_TYPE, computed("cycle", _cycle), text("quantity"), _UNIT_PRICE, _TOTAL]
LINE_COLUMNS: list[Column] = [*CHARGE_COLUMNS[:2], _ACCOUNT, *CHARGE_COLUMNS[2:]]


def with_currency(lines: QuerySet[LineItem]) -> QuerySet[Any]:
    """Read lines with what their columns show besides: the invoice's currency alone, and the total."""
    return lines.annotate(currency=F("invoice__currency"), total=LINE_TOTAL)


class _OfLines(Exactly):
    """Finds lines of an account by the two indexes that hold them: those that are live, and those that are not."""

    def matching(self, term: str) -> Q:
        """Return the condition; in one piece neither index could answer it."""
        found = super().matching(term)
        try:
            account = UUID(term)
        except ValueError:
            return found
        live, not_live = (Q(patient_reference=account, live=value) for value in (True, False))
        return found | live | not_live


@admin.register(LineItem)
class LineItemPage(ExportingPage):
    """What was charged for."""

    sheet = LineItemSheet
    list_display = [
        short_id(title="line"),
        link("invoice_id", "billing_invoice"),
        *LINE_COLUMNS,
        yes("live"),
    ]
    list_filter = ["item_type", LineCycleFilter, "live"]
    ordering = ["pk"]  # random, but stable and indexed: lines are looked at by invoice, account or month
    finds = _OfLines(ids=["pk", "invoice_id"])
    search_help_text = "Invoice, line or patient account (exact)"
    details = [
        text("id", title="line"),
        link("invoice_id", "billing_invoice"),
        *LINE_COLUMNS,
        yes("live"),
        when("created_at"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add the currency."""
        return with_currency(super().get_queryset(request))
