"""Corrections of sent invoices: who asked, who decided, and what came of it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from unfold.decorators import action

from audit.columns import Column, label, link, text, when
from audit.read_only import RelatedTable, may_view
from audit.staff_forms import refusal_page, staff_actor
from billing import money
from billing.admin.columns import amount
from billing.admin.correction_asking import PERMISSION
from billing.admin.correction_decisions import Approve, Reject, Withdraw, lines_left_out
from billing.admin.correction_filters import WaitingFilter
from billing.admin.exports import ExportingPage
from billing.admin.pages import BillingPage, CorrectionCycleFilter, Exactly
from billing.correction_rules import offered_credit_cents
from billing.exports.sheets import CorrectionSheet
from billing.models import Correction, CorrectionKind, CorrectionStatus, DroppedLine, LineItem

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
class CorrectionPage(ExportingPage):
    """What was asked for, and what became of it."""

    sheet = CorrectionSheet
    list_display = [CORRECTION_COLUMNS[1], link("invoice_id", "billing_invoice"), *CORRECTION_COLUMNS[2:]]
    list_filter = [WaitingFilter, "status", "kind", "reason", CorrectionCycleFilter]
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
    actions_detail = ["approve", "reject", "withdraw", "credit"]

    @action(description="Approve", icon="check", url_path="approve")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show once more what is asked for."""
        return Approve.as_view(page=self)(request, object_id=object_id)

    @action(description="Reject", icon="close", url_path="reject")
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show once more what is asked for."""
        return Reject.as_view(page=self)(request, object_id=object_id)

    @action(description="Withdraw", icon="undo", url_path="withdraw")
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show once more what was asked for."""
        return Withdraw.as_view(page=self)(request, object_id=object_id)

    @action(description="Credit instead", icon="note_stack", url_path="credit")
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the credit of an invoice that was paid before it could be canceled."""
        if not request.user.has_perm(PERMISSION):
            return refusal_page(request, self, PERMISSION)
        correction = self.get_object(request, object_id)
        if correction is None or not (cents := offered_credit_cents(correction)):
            raise Http404
        address = reverse("admin:billing_invoice_ask", args=[correction.invoice_id, CorrectionKind.CREDIT.value])
        return redirect(f"{address}?{urlencode({'amount': money.to_text(cents)})}")

    def offers_action(self, request: HttpRequest, row: Correction, path: str) -> bool:
        """Offer a decision to a second person, the withdrawal to the first, and a credit when it came too late."""
        if path == "credit":
            return request.user.has_perm(PERMISSION) and offered_credit_cents(row) > 0
        if row.status != CorrectionStatus.REQUESTED or row.expires_at <= timezone.now():
            return False
        own = row.requested_by == staff_actor(request)
        if path == "withdraw":
            return own and request.user.has_perm(Withdraw.permission)
        return not own and request.user.has_perm(Approve.permission)

    def related_tables(self, request: HttpRequest, obj: Correction) -> Iterable[RelatedTable]:
        """Show what a replacement leaves out."""
        if obj.kind == CorrectionKind.REPLACE and may_view(request, LineItem):
            yield lines_left_out(obj)

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
