"""What Stripe showed when it was last listed: invoices, money, and customers. Numbers, codes and ids."""

from django.contrib import admin

from audit.columns import link, text, when, yes
from billing.admin.columns import amount, computed, office, stripe_id
from billing.admin.pages import BillingPage, Exactly
from billing.models import StripeCustomerCopy, StripeInvoiceCopy, StripeMoneyCopy


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
    """Payments, refunds, disputes, credit notes and pending items as Stripe showed them."""

    list_display = [
        stripe_id("stripe_id", title="at Stripe"),
        text("kind"),
        text("status"),
        text("amount_cents", title="cents"),
        stripe_id("stripe_invoice_id", title="invoice there"),
        when("moved_at"),
        when("seen_at"),
    ]
    list_filter = ["kind"]
    ordering = ["pk"]
    finds = Exactly(ids=[], texts=["stripe_id", "stripe_invoice_id", "payment_intent_id"])
    search_help_text = "Stripe id (exact)"
    details = [
        text("stripe_id", title="at Stripe"),
        *list_display[1:4],
        text("before_payment_cents", title="taken off what was due, cents"),
        text("out_of_band_cents", title="paid back past Stripe, cents"),
        text("stripe_invoice_id", title="invoice there"),
        text("payment_intent_id"),
        yes("has_foreign_text", title="other people's words", colour="warning"),
        text("unreadable_field"),
        *list_display[5:],
        link("run_id", "billing_reconciliationrun", title="run"),
    ]


@admin.register(StripeCustomerCopy)
class StripeCustomerCopyPage(BillingPage):
    """Customers as Stripe showed them; their ids are kept nowhere in clear."""

    list_display = [
        computed("customer", lambda copy: copy.customer_index[:8]),
        office(),
        text("balance_cents", title="balance, cents"),
        yes("deleted", colour="danger"),
        text("profile_is_ours"),
        when("seen_at"),
    ]
    list_filter = ["deleted", "profile_is_ours"]
    list_select_related = ["office"]
    ordering = ["pk"]
    finds = Exactly(office="office_id", ids=["own_office_id"])
    search_help_text = "Office (exact)"
    details = [
        *list_display,
        text("own_office_id", title="names our office"),
        link("run_id", "billing_reconciliationrun", title="run"),
    ]
