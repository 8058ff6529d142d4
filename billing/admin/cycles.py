"""Billing cycles: each month of each office, with the terms that were frozen at its start."""

from collections.abc import Iterable

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.http import HttpRequest

from audit.columns import Column, day, label, link, text, unbroken, when
from audit.read_only import RelatedTable, may_view, related
from billing.admin.columns import OFFICE_COLOURS, amount, computed, office
from billing.admin.invoices import INVOICE_COLUMNS
from billing.admin.pages import BillingPage, Exactly, OwnCycleFilter
from billing.models import BillingCycle, Invoice

_PRICE = amount("unit_price_cents", currency="office.currency", title="unit price")
CYCLE_COLUMNS: list[Column] = [
    computed("cycle", lambda cycle: unbroken(cycle.key)),
    day("start_date", title="starts"),
    day("end_date", title="ends before"),
    label("status", OFFICE_COLOURS, title="terms"),
    _PRICE,
    text("patient_count", title="accounts charged"),
    when("closed_at"),
]


@admin.register(BillingCycle)
class BillingCyclePage(BillingPage):
    """What was open when, and on what terms."""

    list_display = [CYCLE_COLUMNS[0], office(), *CYCLE_COLUMNS[1:]]
    list_filter = [OwnCycleFilter, "status", ("closed_at", EmptyFieldListFilter)]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=[])
    search_help_text = "Office or cus_… (exact)"
    details = [
        *list_display,
        text("zone"),
        link("plan_id", "offices_plan"),
        link("price_version_id", "offices_planprice"),
        link("price_override_id", "offices_priceoverride"),
        when("start_at", title="starts at (UTC)"),
        when("end_at", title="ends at (UTC)"),
        when("opened_at"),
        when("carried_over_at"),
    ]

    def related_tables(self, request: HttpRequest, obj: BillingCycle) -> Iterable[RelatedTable]:
        """Show the invoices of the cycle."""
        if may_view(request, Invoice):
            invoices = obj.invoices.select_related("cycle").defer("internal_note").order_by("created_at")
            yield related("Invoices", INVOICE_COLUMNS, invoices)
