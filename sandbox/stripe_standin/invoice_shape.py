"""The shape of an invoice, after Stripe's recorded replies and the fields of API version 2026-10-28."""

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json

# Stripe embeds the first lines only; the others are read from `/v1/invoices/{id}/lines`.
EMBEDDED_LINES = 10

# What no stand-in invoice ever has: no tax, no shipping, no discounts, no connected accounts, no subscriptions.
_ALWAYS_EMPTY = (
    *("account_tax_ids", "application", "custom_fields", "customer_account", "customer_shipping"),
    *("default_payment_method", "default_source", "footer", "from_invoice", "last_finalization_error"),
    *("latest_revision", "on_behalf_of", "parent", "receipt_number", "shipping_cost", "shipping_details"),
    *("statement_descriptor", "test_clock"),
)
_ALWAYS_ZERO = (
    *("amount_due", "amount_overpaid", "amount_paid", "amount_paid_off_stripe", "amount_remaining", "amount_shipping"),
    *("attempt_count", "post_payment_credit_notes_amount", "pre_payment_credit_notes_amount", "starting_balance"),
    *("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"),
)
_ALWAYS_NO_ROWS = (
    *("customer_tax_ids", "default_tax_rates", "discounts", "total_discount_amounts"),
    *("total_pretax_credit_amounts", "total_taxes"),
)
# Given by the caller, or known only once the invoice is final.
_NOT_YET = (
    *("automatically_finalizes_at", "description", "number", "rendering"),
    *("due_date", "effective_at", "ending_balance", "hosted_invoice_url", "invoice_pdf", "next_payment_attempt"),
)
_TRANSITIONS = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")


def blank_invoice(account: Account, customer: Json, currency: str) -> Json:
    """Return a new draft without lines."""
    now = account.now()
    return {
        "id": account.new_id("invoice"),
        "object": "invoice",
        **dict.fromkeys((*_ALWAYS_EMPTY, *_NOT_YET)),
        **dict.fromkeys(_ALWAYS_ZERO, 0),
        **{name: [] for name in _ALWAYS_NO_ROWS},
        **customer_snapshot(customer),
        "account_country": "US",
        "account_name": "Sandbox",
        **dict.fromkeys(("attempted", "auto_advance", "livemode"), False),
        "automatic_tax": {**dict.fromkeys(("disabled_reason", "liability", "provider", "status")), "enabled": False},
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "issuer": {"type": "self"},
        "metadata": {},
        "payment_settings": dict.fromkeys(("default_mandate", "payment_method_options", "payment_method_types")),
        "period_end": now,
        "period_start": now,
        "status": "draft",
        "status_transitions": dict.fromkeys(_TRANSITIONS),
        "webhooks_delivered_at": now,
    }


def customer_snapshot(customer: Json) -> Json:
    """Return the customer's fields that an invoice copies; they follow the customer until it is finalized."""
    return {
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
    }


def recount(account: Account, invoice: Json) -> Json:
    """Set the embedded lines and the sums of a draft from its lines; returns the same invoice."""
    lines = account.state.tables["line_item"].where("invoice", invoice["id"])
    total = sum(line["amount"] for line in lines)
    invoice["lines"] = {
        "object": "list",
        "data": lines[:EMBEDDED_LINES],
        "has_more": len(lines) > EMBEDDED_LINES,
        "total_count": len(lines),
        "url": f"/v1/invoices/{invoice['id']}/lines",
    }
    due = max(total, 0)
    invoice.update(subtotal=total, subtotal_excluding_tax=total, total=total, total_excluding_tax=total)
    invoice.update(amount_due=due, amount_remaining=due)
    return invoice
