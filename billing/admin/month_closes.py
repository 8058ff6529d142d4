"""Months that were signed, and by whom."""

from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern
from unfold.decorators import action

from audit.columns import code, text, when
from billing.admin.month_signing import address_of, month_urls
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
    actions_detail = ["checks"]

    @action(description="See its checks", icon="calendar_month", url_path="checks")
    def checks(self, request: HttpRequest, object_id: str) -> HttpResponseBase:  # noqa: ARG002
        """Lead to the page of the month, with its checks."""
        return redirect(address_of(object_id))

    def get_urls(self) -> list[URLPattern]:
        """Add the page of a month, signed or not."""
        return [*month_urls(self), *super().get_urls()]
