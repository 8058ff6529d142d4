"""Invoices: the list, and a page that tells what was billed, sent, paid and recorded."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from unfold.decorators import action

from audit.columns import Shown, day, label, link, linked, short_id, text, unbroken, when
from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.columns import INVOICE_COLOURS, amount, computed, money_text, office, stripe_id
from billing.admin.correction_asking import PERMISSION, ask_correction, choose_correction
from billing.admin.explaining import PERMISSION as EXPLAIN
from billing.admin.explaining import explain_page
from billing.admin.exports import ExportingPage
from billing.admin.invoice_actions import (
    CloseNow,
    SendNow,
    may_close,
    may_open_at_stripe,
    may_send,
    open_at_stripe,
)
from billing.admin.lines import LINE_COLUMNS, with_currency
from billing.admin.pages import AgeFilter, CycleFilter, Exactly
from billing.admin.payments import PAYMENT_COLUMNS
from billing.admin.selection import shown_totals
from billing.admin.sent_evidence import PERMISSION as SENT
from billing.admin.sent_evidence import sent_page
from billing.admin.ticked import lead_to
from billing.admin.ticked_actions import CloseTicked, RetryTicked, SendTicked
from billing.admin.timeline import timeline
from billing.exports.sheets import InvoiceSheet
from billing.models import LINE_TOTAL, Invoice, InvoiceStatus, ItemType, LineItem, Payment
from billing.selection_totals import LONGEST_SUM

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


def _replacement(invoice: Invoice) -> Shown:
    """Only what was canceled can have one: no question for any other."""
    if invoice.canceled_at is None:
        return None
    replacing = Invoice.objects.filter(replaces=invoice).values_list("pk", flat=True).first()
    return linked("billing_invoice", replacing, str(replacing)) if replacing else None


TICKED = {"close": CloseTicked, "send": SendTicked, "retry": RetryTicked}


@admin.register(Invoice)
class InvoicePage(ExportingPage):
    """What offices owe."""

    sheet = InvoiceSheet
    list_before_template = "admin/selection_totals.html"
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
        link("replaces_id", "billing_invoice", title="stands in for"),
        computed("replaced by", _replacement),
    ]
    actions = ["close_ticked", "send_ticked", "retry_ticked"]
    list_disable_select_all = True  # each is looked at first: not more than a page of the list at once
    actions_detail = ["explain", "correct", "close", "send", "sent", "stripe"]

    @admin.action(description="Close now", permissions=["close"])
    def close_ticked(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        """Show what becomes of each."""
        return lead_to(request, "admin:billing_invoice_closeticked", chosen)

    @admin.action(description="Send now", permissions=["send"])
    def send_ticked(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        """Show where each message is."""
        return lead_to(request, "admin:billing_invoice_sendticked", chosen)

    @admin.action(description="Try failed payments again", permissions=["retry"])
    def retry_ticked(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        """Show what is open of each."""
        return lead_to(request, "admin:billing_invoice_retryticked", chosen)

    def has_close_permission(self, request: HttpRequest) -> bool:
        """Tell whether the list offers to close."""
        return bool(request.user.has_perm(CloseTicked.permission))

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Tell whether the list offers to send."""
        return bool(request.user.has_perm(SendTicked.permission))

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Tell whether the list offers to try payments again."""
        return bool(request.user.has_perm(RetryTicked.permission))

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """Take what is no id of an invoice, which nobody can tick, for nothing."""
        try:
            return super().response_action(request, *args, **kwargs)
        except ValidationError:
            messages.warning(request, "Tick invoices of the list.")
            return None

    @action(description="Explain", icon="help", url_path="explain")
    def explain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show where the total comes from, and why an account is not on it."""
        return explain_page(request, page=self, object_id=object_id)

    @action(description="Close now", icon="lock", url_path="close")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show what the close brings."""
        return CloseNow.as_view(page=self)(request, object_id=object_id)

    @action(description="Send now", icon="send", url_path="send")
    def send(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show where the message is."""
        return SendNow.as_view(page=self)(request, object_id=object_id)

    @action(description="What was sent", icon="upload", url_path="sent")
    def sent(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show each request as it left."""
        return sent_page(request, page=self, object_id=object_id)

    @action(description="Open at Stripe", icon="open_in_new", url_path="stripe")
    def stripe(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to Stripe's dashboard."""
        return open_at_stripe(request, page=self, object_id=object_id)

    @action(description="Correct", icon="rule", url_path="correct")
    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show which corrections are possible."""
        return choose_correction(request, page=self, object_id=object_id)

    def offers(self, request: HttpRequest, row: Invoice) -> bool:
        """Offer it while the invoice is closed and not at its end, to who may ask."""
        ended = row.status == InvoiceStatus.CANCELED
        return row.closed_at is not None and not ended and request.user.has_perm(PERMISSION)

    def offers_action(self, request: HttpRequest, row: Invoice, path: str) -> bool:
        """Offer each when it makes sense for the invoice, to who may."""
        offered: dict[str, Any] = {"close": may_close, "send": may_send, "stripe": may_open_at_stripe}
        if path in offered:
            return bool(offered[path](request, row))
        if path == "sent":
            return row.closed_at is not None and request.user.has_perm(SENT)
        return request.user.has_perm(EXPLAIN) if path == "explain" else self.offers(request, row)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the office and the cycle with the invoice."""
        return super().get_queryset(request).select_related("office", "cycle")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Add what the filtered list comes to."""
        answer = super().changelist_view(request, extra_context)
        if (shown := getattr(answer, "context_data", None)) and "cl" in shown:
            listed = shown["cl"]
            shown["totals"] = shown_totals(listed.queryset, cut=listed.result_count > LONGEST_SUM)
        return answer

    def get_urls(self) -> list[URLPattern]:
        """Add the form of each kind of correction, and what may be done to those that are ticked."""
        view = self.admin_site.admin_view(partial(ask_correction, page=self))
        return [
            path("<uuid:object_id>/correct/<slug:kind>/", view, name="billing_invoice_ask"),
            *(
                path(
                    f"ticked/{name}/",
                    self.admin_site.admin_view(form.as_view(page=self)),
                    name=f"billing_invoice_{name}ticked",
                )
                for name, form in TICKED.items()
            ),
            *super().get_urls(),
        ]

    def related_tables(self, request: HttpRequest, obj: Invoice) -> Iterable[RelatedTable]:
        """Show the lines, the payments, and all that happened in one order: refunds, corrections, differences too."""
        if may_view(request, LineItem):
            yield _lines_by_type(obj)
            yield _lines(obj)
        if may_view(request, Payment):
            yield related("Payments", PAYMENT_COLUMNS, obj.payments.order_by("pk"))
        yield timeline(request, obj)


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
