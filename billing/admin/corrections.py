"""Corrections of sent invoices: who asked, who decided, and what came of it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.columns import Column, label, link, text, when
from billing.admin.columns import amount
from billing.admin.pages import BillingPage, Exactly
from billing.models import Correction, CorrectionStatus, DroppedLine

CORRECTION_COLOURS: dict[str, str] = {
    CorrectionStatus.REQUESTED: "info",
    CorrectionStatus.APPROVED: "info",
    CorrectionStatus.DONE: "success",
    CorrectionStatus.OVERTAKEN: "warning",
    CorrectionStatus.REJECTED: "warning",
    CorrectionStatus.EXPIRED: "warning",
}
CORRECTION_COLUMNS: list[Column] = [
    link("pk", "billing_correction", title="correction"),
    text("kind"),
    label("status", CORRECTION_COLOURS),
    text("reason"),
    amount("amount_cents", currency="invoice.currency", none="whole invoice"),
    text("requested_by"),
    when("requested_at"),
    text("decided_by"),
    when("ended_at"),
]


@admin.register(Correction)
class CorrectionPage(BillingPage):
    """What was asked for, and what became of it."""

    list_display = [CORRECTION_COLUMNS[1], link("invoice_id", "billing_invoice"), *CORRECTION_COLUMNS[2:]]
    list_filter = ["status", "kind", "reason"]
    ordering = ["-requested_at", "-pk"]
    finds = Exactly(ids=["pk", "invoice_id"])
    search_help_text = "Correction or invoice id (exact)"
    details = [
        text("id", title="correction"),
        *list_display,
        text("payback", title="paid back through"),
        when("expires_at"),
        when("decided_at"),
        text("outcome"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the note of the invoice sealed too."""
        return super().get_queryset(request).select_related("invoice").defer("note", "invoice__internal_note")


@admin.register(DroppedLine)
class DroppedLinePage(BillingPage):
    """Lines that a replacement leaves out."""

    details = [
        link("correction_id", "billing_correction", title="correction"),
        link("line_item_id", "billing_lineitem", title="line"),
    ]
    ordering = ["-pk"]
    finds = Exactly(ids=["correction_id", "line_item_id"])
    search_help_text = "Correction or line id (exact)"
