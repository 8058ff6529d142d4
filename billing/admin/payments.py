"""Payments and hosted pages: what Stripe said about the money."""

from django.contrib import admin

from audit.columns import Column, label, link, text, when
from billing.admin.columns import PAYMENT_COLOURS, amount, stripe_id
from billing.admin.exports import ExportingPage
from billing.admin.pages import BillingPage, Exactly
from billing.exports.sheets import PaymentSheet
from billing.models import HostedInvoicePage, Payment

PAYMENT_COLUMNS: list[Column] = [
    stripe_id("stripe_payment_id", title="at Stripe"),
    label("status", PAYMENT_COLOURS),
    amount("amount_requested_cents", title="requested"),
    amount("amount_paid_cents", title="paid"),
    when("paid_at", title="paid at"),
    when("recorded_at"),
]


@admin.register(Payment)
class PaymentPage(ExportingPage):
    """Attempts to pay."""

    sheet = PaymentSheet
    list_display = [PAYMENT_COLUMNS[0], link("invoice_id", "billing_invoice"), *PAYMENT_COLUMNS[1:]]
    list_filter = ["status"]
    ordering = ["-pk"]
    finds = Exactly(ids=["invoice_id"], texts=["stripe_payment_id"])
    search_help_text = "Invoice id or inpay_… (exact)"
    details = [
        text("stripe_payment_id", title="payment at Stripe"),
        *list_display[1:],
        text("payment_intent_id", title="payment intent"),
        text("charge_id", title="charge"),
    ]


@admin.register(HostedInvoicePage)
class HostedInvoicePagePage(BillingPage):
    """The payable links: secret, so that only the page of one shows it (decisions.md 19)."""

    list_display = [link("invoice_id", "billing_invoice"), when("updated_at")]
    list_display_links = None
    ordering = ["pk"]
    finds = Exactly(ids=["invoice_id"])
    search_help_text = "Invoice id (exact)"
    details = [link("invoice_id", "billing_invoice"), text("url", title="payable link"), when("updated_at")]
