"""Months that were signed, and by whom."""

from django.contrib import admin

from audit.columns import code, text, when
from billing.admin.pages import BillingPage, Exactly
from billing.models import MonthClose


@admin.register(MonthClose)
class MonthClosePage(BillingPage):
    """The signatures under each month."""

    details = [
        text("key", title="month"),
        text("first_signed_by"),
        when("first_signed_at"),
        text("second_signed_by"),
        when("locked_at"),
        code("signed"),
    ]
    ordering = ["-key"]
    finds = Exactly(ids=[], texts=["key"])
    search_help_text = "Month, such as 2026-03 (exact)"
