"""Reconciliation: its runs, what Stripe showed, and what differs."""

from django.contrib import admin

from audit.columns import Column, code, label, link, short_id, text, when, yes
from billing.admin.columns import amount, office, stripe_id
from billing.admin.pages import BillingPage, Exactly
from billing.models import (
    Discrepancy,
    DiscrepancyStatus,
    ReconciliationRun,
    StripeCustomerCopy,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)

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
    text("owner"),
    text("repair", title="proposed"),
    when("found_at", order="found_at"),
    when("last_seen_at"),
]


@admin.register(Discrepancy)
class DiscrepancyPage(BillingPage):
    """Differences between our books and Stripe's."""

    list_display = [DISCREPANCY_COLUMNS[1], office(), *DISCREPANCY_COLUMNS[2:]]
    list_filter = ["status", "kind", "repair"]
    list_select_related = ["office"]
    ordering = ["-found_at", "-pk"]
    finds = Exactly(office="office_id", ids=["pk", "invoice_id"])
    search_help_text = "Office, invoice or discrepancy id (exact)"
    details = [
        text("id", title="discrepancy"),
        *list_display,
        link("invoice_id", "billing_invoice"),
        text("subject"),
        text("amount_cents", title="cents at stake"),
        code("ours", title="our side"),
        code("theirs", title="Stripe's side"),
        link("run_id", "billing_reconciliationrun", title="run"),
        when("ended_at"),
        text("ended_by"),
    ]


@admin.register(ReconciliationRun)
class ReconciliationRunPage(BillingPage):
    """Each comparison of the books."""

    list_display = [
        when("started_at"),
        text("cycle_key", title="cycle"),
        office(),
        text("phase"),
        text("invoices_seen", title="seen"),
        text("found"),
        text("repaired"),
        when("finished_at"),
        text("actor"),
    ]
    list_filter = ["phase"]
    list_select_related = ["office"]
    ordering = ["-started_at", "-pk"]
    finds = Exactly(office="office_id")
    search_help_text = "Office or run id (exact)"
    details = [text("id", title="run"), *list_display, when("window_from"), when("window_until"), text("cursor")]


@admin.register(StripeInvoiceCopy)
class StripeInvoiceCopyPage(BillingPage):
    """What Stripe showed of each invoice when it was last listed."""

    list_display = [
        stripe_id("stripe_invoice_id", title="at Stripe"),
        link("own_invoice_id", "billing_invoice", title="names our invoice"),
        text("own_cycle_key", title="cycle"),
        text("status"),
        amount("total_cents", title="total"),
        amount("amount_paid_cents", title="paid"),
        when("seen_at"),
    ]
    list_filter = ["status"]
    ordering = ["-created", "-pk"]
    finds = Exactly(ids=["own_invoice_id"], texts=["stripe_invoice_id"])
    search_help_text = "Invoice id or in_… (exact)"
    details = [
        text("stripe_invoice_id", title="invoice at Stripe"),
        text("own_invoice_id", title="names our invoice"),
        *list_display[2:],
        amount("amount_remaining_cents", title="remaining"),
        amount("overpaid_cents", title="overpaid"),
        amount("credited_cents", title="credited"),
        text("attempt_count", title="payment attempts"),
        text("unreadable_field"),
        text("foreign_fields", title="fields with other people's words"),
        text("line_count", title="lines"),
        when("created"),
        when("finalized_at"),
        link("run_id", "billing_reconciliationrun", title="run"),
    ]


@admin.register(StripeMoneyCopy)
class StripeMoneyCopyPage(BillingPage):
    """What Stripe showed of payments, refunds, disputes, credit notes and loose items."""

    details = [
        stripe_id("stripe_id", title="at Stripe"),
        text("kind"),
        stripe_id("stripe_invoice_id", title="of the invoice"),
        text("status"),
        text("amount_cents", title="cents"),
        when("moved_at"),
        when("seen_at"),
    ]
    list_filter = ["kind"]
    ordering = ["-pk"]
    finds = Exactly(ids=[], texts=["stripe_id", "stripe_invoice_id", "payment_intent_id"])
    search_help_text = "Stripe id (exact)"


@admin.register(StripeCustomerCopy)
class StripeCustomerCopyPage(BillingPage):
    """What Stripe showed of the customers."""

    list_display = [
        short_id("customer_index", title="customer"),
        office(),
        text("balance_cents", title="balance in cents"),
        yes("deleted", colour="danger"),
        yes("profile_is_ours", title="profile as approved"),
        when("seen_at"),
    ]
    list_filter = ["deleted"]
    list_select_related = ["office"]
    ordering = ["pk"]
    finds = Exactly(office="office_id", ids=["own_office_id"])
    search_help_text = "Office (exact)"
    details = [*list_display[1:], text("own_office_id", title="names our office")]
