"""What can be exported, column by column.

Line items leave without the patient's reference and without the time of the line: the two together are pseudonymous
ePHI (docs/compliance/data-map.md). Whoever must know whose line it is opens it in the console.
"""

from billing.exports.sheet import Column, Sheet, money
from billing.models import (
    Correction,
    CreditNote,
    Discrepancy,
    Dispute,
    Invoice,
    LineItem,
    OutboxMessage,
    Payment,
    Refund,
)
from offices.models import Office


class InvoiceSheet(Sheet):
    """Invoices."""

    model, name = Invoice, "invoices"
    id = Column("id", "invoice")
    office = Column("office__reference", "office")
    invoice_type = Column("invoice_type", "type")
    cycle = Column("cycle__key", "cycle")
    status = Column("status")
    total = money("total_cents", "total")
    currency = Column("currency")
    stripe_invoice_id = Column("stripe_invoice_id", "at Stripe")
    collection_method = Column("collection_method", "collected by")
    days_until_due = Column("days_until_due", "days until due")
    charge_reason = Column("charge_reason", "reason")
    settlement_reason = Column("settlement_reason", "settled because")
    origin = Column("origin")
    attempts = Column("attempt_count", "payment attempts")
    created = Column("created_at", "created (UTC)")
    closed = Column("closed_at", "closed (UTC)")
    sent = Column("sent_at", "sent (UTC)")
    due = Column("due_at", "due (UTC)")
    paid = Column("paid_at", "paid (UTC)")
    failed = Column("failed_at", "failed (UTC)")
    canceled = Column("canceled_at", "canceled (UTC)")


class LineItemSheet(Sheet):
    """Line items, without whose they are."""

    model, name = LineItem, "line-items"
    id = Column("id", "line")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    office = Column("invoice__office__reference", "office")
    item_type = Column("item_type", "charge")
    cycle = Column("cycle_key", "cycle")
    quantity = Column("quantity")
    unit_price = money("unit_price_cents", "unit price")
    total = money("total", "total", of=["quantity", "unit_price_cents"])
    currency = Column("invoice__currency", "currency")
    live = Column("live")


class PaymentSheet(Sheet):
    """Payments as Stripe reports them."""

    model, name = Payment, "payments"
    id = Column("stripe_payment_id", "payment at Stripe")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    office = Column("invoice__office__reference", "office")
    status = Column("status")
    requested = money("amount_requested_cents", "requested")
    paid = money("amount_paid_cents", "paid")
    currency = Column("currency")
    paid_at = Column("paid_at", "paid at (UTC)")
    recorded = Column("recorded_at", "recorded (UTC)")
    payment_intent = Column("payment_intent_id", "payment intent")
    charge = Column("charge_id", "charge")


class MessageSheet(Sheet):
    """Messages to Stripe: where each stands, and the digest of its document."""

    model, name = OutboxMessage, "messages"
    id = Column("id", "message")
    office = Column("office__reference", "office")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    kind = Column("kind")
    status = Column("status")
    attempts = Column("attempts")
    error = Column("error_code", "error")
    created = Column("created_at", "created (UTC)")
    next_attempt = Column("next_attempt_at", "next attempt (UTC)")
    done = Column("done_at", "done (UTC)")
    digest = Column("payload_digest", "digest")


class RefundSheet(Sheet):
    """Refunds as Stripe reports them."""

    model, name = Refund, "refunds"
    id = Column("stripe_refund_id", "refund at Stripe")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    office = Column("invoice__office__reference", "office")
    status = Column("status")
    amount = money("amount_cents", "amount")
    currency = Column("currency")
    refunded = Column("refunded_at", "refunded (UTC)")
    recorded = Column("recorded_at", "recorded (UTC)")
    payment_intent = Column("payment_intent_id", "payment intent")


class DisputeSheet(Sheet):
    """Disputes as Stripe reports them."""

    model, name = Dispute, "disputes"
    id = Column("stripe_dispute_id", "dispute at Stripe")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    office = Column("invoice__office__reference", "office")
    status = Column("status")
    amount = money("amount_cents", "amount")
    currency = Column("currency")
    opened = Column("opened_at", "opened (UTC)")
    recorded = Column("recorded_at", "recorded (UTC)")
    payment_intent = Column("payment_intent_id", "payment intent")


class CreditNoteSheet(Sheet):
    """Credit notes as Stripe reports them."""

    model, name = CreditNote, "credit-notes"
    id = Column("stripe_credit_note_id", "credit note at Stripe")
    own_id = Column("id", "credit note")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    office = Column("invoice__office__reference", "office")
    status = Column("status")
    amount = money("amount_cents", "amount")
    before_payment = money("before_payment_cents", "taken off what was due")
    out_of_band = money("out_of_band_cents", "paid back past Stripe")
    currency = Column("currency")
    issued = Column("issued_at", "issued (UTC)")
    recorded = Column("recorded_at", "recorded (UTC)")


class CorrectionSheet(Sheet):
    """Corrections: who asked, who decided and what came of it; the notes stay sealed."""

    model, name = Correction, "corrections"
    id = Column("id", "correction")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    office = Column("invoice__office__reference", "office")
    kind = Column("kind")
    status = Column("status")
    reason = Column("reason")
    amount = money("amount_cents", "amount")
    currency = Column("invoice__currency", "currency")
    payback = Column("payback", "paid back through")
    requested_by = Column("requested_by", "asked for by")
    requested = Column("requested_at", "asked for (UTC)")
    decided_by = Column("decided_by", "decided by")
    decided = Column("decided_at", "decided (UTC)")
    ended = Column("ended_at", "ended (UTC)")
    outcome = Column("outcome")


class OfficeSheet(Sheet):
    """Offices, with the status that holds now."""

    model, name = Office, "offices"
    reference = Column("reference", "office")
    id = Column("id", "office id")
    office_name = Column("name")
    billing_email = Column("billing_email", "billing e-mail")
    opaque_name = Column("opaque_name", "name at Stripe by default")
    # An annotation: the latest of the office's dated rows.
    status = Column("status", of=["id"])
    anchor = Column("billing_cycle_anchor_date", "anchor")
    collection_method = Column("collection_method", "collected by")
    days_until_due = Column("days_until_due", "days until due")
    currency = Column("currency")
    created = Column("created_at", "created (UTC)")
    first_cycle = Column("first_cycle_opened_at", "first cycle opened (UTC)")
    past_due = Column("past_due_since", "past due since (UTC)")
    parked = Column("parked_at", "parked (UTC)")


class DiscrepancySheet(Sheet):
    """Differences to Stripe. What either side says stays here: it may name accounts by their reference."""

    model, name = Discrepancy, "discrepancies"
    id = Column("id", "difference")
    kind = Column("kind")
    status = Column("status")
    office = Column("office__reference", "office")
    cycle = Column("cycle_key", "cycle")
    invoice = Column("invoice_id", "invoice", of=["invoice"])
    stripe_invoice_id = Column("invoice__stripe_invoice_id", "at Stripe")
    subject = Column("subject", "about")
    at_stake = money("amount_cents", "at stake")
    proposed = Column("repair", "proposed")
    owner = Column("owner")
    found = Column("found_at", "found (UTC)")
    last_seen = Column("last_seen_at", "last seen (UTC)")
    ended = Column("ended_at", "ended (UTC)")
    ended_by = Column("ended_by", "ended by")
    seen_by = Column("run_id", "comparison", of=["run"])


SHEETS: tuple[type[Sheet], ...] = (
    InvoiceSheet,
    LineItemSheet,
    PaymentSheet,
    RefundSheet,
    DisputeSheet,
    CreditNoteSheet,
    CorrectionSheet,
    MessageSheet,
    OfficeSheet,
    DiscrepancySheet,
)
