"""What differs between our books and Stripe's, and what people do about it."""

from collections.abc import Iterable

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from unfold.decorators import action

from audit.columns import Column, label, link, text, when
from audit.read_only import RelatedTable, list_of, may_view, related
from audit.staff_forms import refusal_page, staff_actor
from billing import money
from billing.admin.balance_sheet import balance_urls
from billing.admin.columns import computed, office
from billing.admin.correction_asking import PERMISSION as CORRECTING
from billing.admin.corrections import CORRECTION_COLUMNS
from billing.admin.discrepancy_filters import FoundFilter, OwnerFilter, StakeFilter
from billing.admin.discrepancy_forms import PERMISSION, Accept, Assign, Repair, TakeOn, WriteNote, side_by_side
from billing.admin.exports import ExportingPage
from billing.admin.pages import Exactly, LineCycleFilter
from billing.correction_offers import correction_offers
from billing.exports.sheets import DiscrepancySheet
from billing.models import (
    Correction,
    CorrectionKind,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    RepairKind,
)
from billing.reconciliation.repair import CORRECTION_OF

DISCREPANCY_COLOURS: dict[str, str] = {
    DiscrepancyStatus.OPEN: "danger",
    DiscrepancyStatus.REPAIRED: "success",
    DiscrepancyStatus.GONE: "success",
    DiscrepancyStatus.ACCEPTED: "info",
}
DISCREPANCY_COLUMNS: list[Column] = [
    link("pk", "billing_discrepancy", title="discrepancy"),
    text("kind"),
    label("status", DISCREPANCY_COLOURS),
    text("cycle_key", title="cycle"),
    computed("at stake", lambda found: money.to_text(found.amount_cents)),
    text("owner"),
    text("repair", title="proposed"),
    when("found_at", order="found_at"),
    when("last_seen_at"),
]


@admin.register(Discrepancy)
class DiscrepancyPage(ExportingPage):
    """Differences between our books and Stripe's."""

    sheet = DiscrepancySheet
    list_display = [DISCREPANCY_COLUMNS[1], office(), *DISCREPANCY_COLUMNS[2:]]
    list_filter = ["status", "kind", OwnerFilter, FoundFilter, StakeFilter, "repair", LineCycleFilter]
    list_select_related = ["office"]
    ordering = ["-found_at", "-pk"]
    finds = Exactly(office="office_id", ids=["pk", "invoice_id"])
    search_help_text = "Office, invoice or discrepancy id (exact)"
    details = [
        text("id", title="discrepancy"),
        *list_display,
        link("invoice_id", "billing_invoice"),
        text("subject"),
        link("run_id", "billing_reconciliationrun", title="run"),
        when("ended_at"),
        text("ended_by"),
    ]
    actions_detail = ["own", "assign", "note", "accept", "repair", "correct"]

    @action(description="Take it on", icon="person", url_path="own")
    def own(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Make it one's own."""
        return TakeOn.as_view(page=self)(request, object_id=object_id)

    @action(description="Assign", icon="group", url_path="assign")
    def assign(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Give it to somebody."""
        return Assign.as_view(page=self)(request, object_id=object_id)

    @action(description="Note", icon="edit_note", url_path="note")
    def note(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for the words."""
        return WriteNote.as_view(page=self)(request, object_id=object_id)

    @action(description="Accept", icon="done", url_path="accept")
    def accept(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for the reason."""
        return Accept.as_view(page=self)(request, object_id=object_id)

    @action(description="Repair", icon="build", url_path="repair")
    def repair(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show what a repair would do."""
        return Repair.as_view(page=self)(request, object_id=object_id)

    @action(description="Correct the invoice", icon="rule", url_path="correct")
    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the correction that is proposed, or where that is not possible to those that are."""
        if not request.user.has_perm(CORRECTING):
            return refusal_page(request, self, CORRECTING)
        found = self.get_object(request, object_id)
        kind = _proposed(found) if found else None
        if kind is None:
            raise Http404
        if not correction_offers(found.invoice).allows(kind):
            return redirect("admin:billing_invoice_correct", found.invoice_id)
        asking = reverse("admin:billing_invoice_ask", args=[found.invoice_id, kind.value])
        cents = {"amount": money.to_text(abs(found.amount_cents))} if kind == CorrectionKind.CREDIT else {}
        return redirect(f"{asking}?{urlencode(cents)}" if cents else asking)

    def offers_action(self, request: HttpRequest, row: Discrepancy, path: str) -> bool:
        """Offer what fits an open one, to who may."""
        if row.status != DiscrepancyStatus.OPEN:
            return False
        if path == "correct":
            return _proposed(row) is not None and request.user.has_perm(CORRECTING)
        fits = {
            "own": row.owner != staff_actor(request),
            "repair": row.repair == RepairKind.PULL and row.run_id is not None and row.invoice_id is not None,
        }
        return fits.get(path, True) and request.user.has_perm(PERMISSION)

    def related_tables(self, request: HttpRequest, obj: Discrepancy) -> Iterable[RelatedTable]:
        """Show what either side says, and the corrections of the invoice, which a second person decides about."""
        yield side_by_side(obj)
        if obj.invoice_id is not None and may_view(request, Correction):
            made = Correction.objects.filter(invoice=obj.invoice_id).select_related("invoice")
            made = made.defer("note", "invoice__internal_note").order_by("-requested_at")
            more = list_of("billing_correction", q=obj.invoice_id)
            yield related("Corrections of the invoice", CORRECTION_COLUMNS, made, more=more)

    def get_urls(self) -> list[URLPattern]:
        """Add the balance of a month."""
        return [*balance_urls(self), *super().get_urls()]


def _proposed(found: Discrepancy) -> CorrectionKind | None:
    """Return the correction that is proposed; of a duplicate at Stripe it is not our invoice that is wrong."""
    if found.invoice_id is None or found.kind == DiscrepancyKind.DUPLICATE_AT_STRIPE:
        return None
    return CORRECTION_OF.get(RepairKind(found.repair))
