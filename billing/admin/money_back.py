"""Refunds, disputes and credit notes: money that goes back or is contested, as Stripe reports it."""

from django.contrib import admin

from audit.columns import Column, label, link, text, when
from billing.admin.columns import amount, stripe_id
from billing.admin.exports import ExportingPage
from billing.admin.pages import Exactly
from billing.exports.sheets import CreditNoteSheet, DisputeSheet, RefundSheet
from billing.models import CreditNote, CreditNoteStatus, Dispute, DisputeStatus, Refund, RefundStatus

REFUND_COLOURS: dict[str, str] = {RefundStatus.SUCCEEDED: "success", RefundStatus.FAILED: "danger"}
DISPUTE_COLOURS: dict[str, str] = {
    DisputeStatus.NEEDS_RESPONSE: "danger",
    DisputeStatus.LOST: "danger",
    DisputeStatus.UNDER_REVIEW: "warning",
    DisputeStatus.WON: "success",
}
CREDIT_COLOURS: dict[str, str] = {CreditNoteStatus.ISSUED: "success", CreditNoteStatus.VOID: "warning"}

REFUND_COLUMNS: list[Column] = [
    stripe_id("stripe_refund_id", title="at Stripe"),
    label("status", REFUND_COLOURS),
    amount("amount_cents"),
    when("refunded_at"),
    when("recorded_at"),
]
DISPUTE_COLUMNS: list[Column] = [
    stripe_id("stripe_dispute_id", title="at Stripe"),
    label("status", DISPUTE_COLOURS),
    amount("amount_cents"),
    when("opened_at"),
    when("recorded_at"),
]
CREDIT_NOTE_COLUMNS: list[Column] = [
    stripe_id("stripe_credit_note_id", title="at Stripe"),
    label("status", CREDIT_COLOURS),
    amount("amount_cents"),
    amount("before_payment_cents", title="taken off what was due"),
    amount("out_of_band_cents", title="paid back past Stripe"),
    when("issued_at"),
    when("recorded_at"),
]
_INVOICE = link("invoice_id", "billing_invoice", title="invoice")


@admin.register(Refund)
class RefundPage(ExportingPage):
    """Money on its way back, or there."""

    sheet = RefundSheet
    list_display = [REFUND_COLUMNS[0], _INVOICE, *REFUND_COLUMNS[1:]]
    list_filter = ["status"]
    ordering = ["-pk"]
    finds = Exactly(ids=["invoice_id"], texts=["stripe_refund_id"])
    search_help_text = "Invoice id or re_… (exact)"
    details = [text("stripe_refund_id", title="refund at Stripe"), *list_display[1:], text("payment_intent_id")]


@admin.register(Dispute)
class DisputePage(ExportingPage):
    """Payments that the payer contests at the bank."""

    sheet = DisputeSheet
    list_display = [DISPUTE_COLUMNS[0], _INVOICE, *DISPUTE_COLUMNS[1:]]
    list_filter = ["status"]
    ordering = ["-pk"]
    finds = Exactly(ids=["invoice_id"], texts=["stripe_dispute_id"])
    search_help_text = "Invoice id or du_… (exact)"
    details = [text("stripe_dispute_id", title="dispute at Stripe"), *list_display[1:], text("payment_intent_id")]


@admin.register(CreditNote)
class CreditNotePage(ExportingPage):
    """Documents that lower what an invoice claims."""

    sheet = CreditNoteSheet
    list_display = [CREDIT_NOTE_COLUMNS[0], _INVOICE, *CREDIT_NOTE_COLUMNS[1:]]
    list_filter = ["status"]
    ordering = ["-issued_at", "-pk"]
    finds = Exactly(ids=["pk", "invoice_id"], texts=["stripe_credit_note_id"])
    search_help_text = "Invoice id or cn_… (exact)"
    details = [text("id", title="credit note"), text("stripe_credit_note_id", title="at Stripe"), *list_display[1:]]
