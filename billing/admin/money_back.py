"""Refunds, disputes and credit notes: money that goes back or is contested, as Stripe reports it."""

from django.contrib import admin
from django.db.models import CharField, Value

from audit.columns import Column, label, link, text, when
from audit.read_only import RelatedTable
from billing.admin.columns import amount, money_text, stripe_id
from billing.admin.exports import ExportingPage
from billing.admin.pages import Exactly
from billing.exports.sheets import CreditNoteSheet, DisputeSheet, RefundSheet
from billing.models import CreditNote, CreditNoteStatus, Dispute, DisputeStatus, Invoice, Refund, RefundStatus

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


def money_back_of(invoice: Invoice) -> RelatedTable:
    """List refunds, disputes and credit notes of one invoice together, oldest first: one question for three tables."""
    rows = [
        model.objects.filter(invoice=invoice)
        .order_by()
        .values_list(Value(name, output_field=CharField()), stripe_id, "status", "amount_cents", at)
        for model, name, stripe_id, at in (
            (Refund, "Refund", "stripe_refund_id", "refunded_at"),
            (Dispute, "Dispute", "stripe_dispute_id", "opened_at"),
            (CreditNote, "Credit note", "stripe_credit_note_id", "issued_at"),
        )
    ]
    shown = [
        [name, key, status.replace("_", " "), money_text(cents, invoice.currency), f"{at:%Y-%m-%d %H:%M}"]
        for name, key, status, cents, at in sorted(rows[0].union(*rows[1:], all=True), key=lambda row: row[4])
    ]
    return RelatedTable("Money back and contested", ["what", "at Stripe", "status", "amount", "at"], shown)


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
