"""Invoices: the list, and a page that tells what was billed, sent, paid and recorded."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.decorators import action

from audit.admin import audit_trail
from audit.columns import day, label, link, short_id, text, unbroken, when
from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.columns import INVOICE_COLOURS, amount, computed, money_text, office, stripe_id
from billing.admin.correction_asking import PERMISSION, ask_correction, choose_correction
from billing.admin.corrections import CORRECTION_COLUMNS
from billing.admin.events import EVENT_COLUMNS
from billing.admin.exports import ExportingPage
from billing.admin.lines import LINE_COLUMNS, with_currency
from billing.admin.money_back import money_back_of
from billing.admin.outbox import MESSAGE_COLUMNS, REQUEST_COLUMNS, REQUEST_TEXTS
from billing.admin.pages import AgeFilter, CycleFilter, Exactly
from billing.admin.payments import PAYMENT_COLUMNS
from billing.admin.reconciliation import DISCREPANCY_COLUMNS
from billing.exports.sheets import InvoiceSheet
from billing.models import (
    LINE_TOTAL,
    Correction,
    Discrepancy,
    Invoice,
    InvoiceStatus,
    ItemType,
    LineItem,
    OutboundRequest,
    OutboxMessage,
    Payment,
    Refund,
    StripeEvent,
)
from offices.audit_stream import office_stream

STATUS = label("status", INVOICE_COLOURS)
TOTAL = amount("total_cents", title="total", none="open")
TYPE = text("invoice_type", title="type")
CYCLE = computed("cycle", lambda invoice: unbroken(invoice.cycle.key) if invoice.cycle else None)
INVOICE_COLUMNS = [
    link("pk", "billing_invoice", title="invoice"),
    TYPE,
    CYCLE,
    STATUS,
    TOTAL,
    day("closed_at"),
    day("due_at"),
]


@admin.register(Invoice)
class InvoicePage(ExportingPage):
    """What offices owe."""

    sheet = InvoiceSheet
    list_display = [
        short_id(title="invoice"),
        office(),
        TYPE,
        CYCLE,
        TOTAL,
        STATUS,
        stripe_id("stripe_invoice_id", title="at Stripe"),
        day("created_at", order="created_at"),
        day("due_at"),
    ]
    list_filter = ["status", "invoice_type", CycleFilter, AgeFilter, "origin", "collection_method", "charge_reason"]
    list_select_related = ["office", "cycle"]
    ordering = ["-created_at", "-id"]
    finds = Exactly(office="office_id", texts=["stripe_invoice_id"])
    search_help_text = "Office, invoice id, in_… or cus_… (exact)"
    details = [
        text("id", title="invoice"),
        office(),
        TYPE,
        CYCLE,
        STATUS,
        TOTAL,
        text("charge_reason", title="reason"),
        text("settlement_reason", title="settled because"),
        text("stripe_invoice_id", title="at Stripe"),
        text("collection_method", title="collected by"),
        text("days_until_due"),
        text("origin"),
        when("created_at"),
        when("closed_at"),
        when("sent_at"),
        when("due_at"),
        when("paid_at"),
        when("failed_at"),
        when("canceled_at"),
        text("attempt_count", title="payment attempts"),
    ]
    actions_detail = ["correct"]

    @action(description="Correct", icon="rule", url_path="correct")
    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show which corrections are possible."""
        return choose_correction(request, page=self, object_id=object_id)

    def offers(self, request: HttpRequest, row: Invoice) -> bool:
        """Offer it while the invoice is closed and not at its end, to who may ask."""
        ended = row.status == InvoiceStatus.CANCELED
        return row.closed_at is not None and not ended and request.user.has_perm(PERMISSION)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the office and the cycle with the invoice."""
        return super().get_queryset(request).select_related("office", "cycle")

    def get_urls(self) -> list[URLPattern]:
        """Add the form of each kind of correction."""
        view = self.admin_site.admin_view(partial(ask_correction, page=self))
        return [path("<uuid:object_id>/correct/<slug:kind>/", view, name="billing_invoice_ask"), *super().get_urls()]

    def related_tables(self, request: HttpRequest, obj: Invoice) -> Iterable[RelatedTable]:
        """Show lines, payments, what was sent to Stripe, what came back, and the trail of the office."""
        if may_view(request, LineItem):
            yield _lines_by_type(obj)
            yield _lines(obj)
        if may_view(request, Payment):
            yield related("Payments", PAYMENT_COLUMNS, obj.payments.order_by("pk"))
        yield from _money_back(request, obj)
        if may_view(request, OutboxMessage):
            yield related("Messages to Stripe", MESSAGE_COLUMNS, obj.outbox_messages.order_by("created_at"))
        if may_view(request, OutboundRequest):
            yield _requests(obj)
        if may_view(request, StripeEvent) and obj.stripe_invoice_id:
            events = StripeEvent.objects.filter(object_id=obj.stripe_invoice_id).order_by("created", "pk")
            yield related("Stripe events", EVENT_COLUMNS, events)
        yield from audit_trail(request, office_stream(obj.office.reference))


def _money_back(request: HttpRequest, invoice: Invoice) -> Iterable[RelatedTable]:
    """Show what went back, what is contested, what was corrected and what differs; only what there is."""
    if may_view(request, Refund):
        yield from _unless_empty(money_back_of(invoice))
    if may_view(request, Correction):
        corrections = invoice.corrections.defer("note").order_by("requested_at")
        yield from _unless_empty(related("Corrections", CORRECTION_COLUMNS, corrections))
    if may_view(request, Discrepancy):
        differences = invoice.discrepancies.defer("note").order_by("-found_at")
        yield from _unless_empty(related("Differences to Stripe", DISCREPANCY_COLUMNS, differences))


def _unless_empty(table: RelatedTable) -> Iterable[RelatedTable]:
    return [table] if table.rows else []


def _lines_by_type(invoice: Invoice) -> RelatedTable:
    """Add the lines up as Stripe is told: one row per item type and unit price."""
    rows = (
        invoice.line_items.filter(live=True)
        .values("item_type", "unit_price_cents")
        .annotate(number=Sum("quantity"), total=Sum(LINE_TOTAL))
        .order_by("item_type", "unit_price_cents")
    )
    shown = [
        [
            ItemType(row["item_type"]).label.capitalize(),
            str(row["number"]),
            money_text(row["unit_price_cents"], invoice.currency),
            money_text(row["total"], invoice.currency),
        ]
        for row in rows
    ]
    return RelatedTable("Summary", ["charge", "quantity", "unit price", "total"], shown)


def _lines(invoice: Invoice) -> RelatedTable:
    lines = with_currency(invoice.line_items.order_by("item_type", "cycle_key", "pk"))
    address = list_of("billing_lineitem", invoice__id__exact=invoice.pk)
    return related("Line items", LINE_COLUMNS, lines, more=address)


def _requests(invoice: Invoice) -> RelatedTable:
    requests = OutboundRequest.objects.filter(message__invoice=invoice).defer(*REQUEST_TEXTS).order_by("pk")
    address = list_of("billing_outboundrequest", message__invoice__id__exact=invoice.pk)
    return related("Requests that left", REQUEST_COLUMNS, requests, more=address)
