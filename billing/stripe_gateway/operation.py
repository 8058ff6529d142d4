"""The names of the Stripe calls this product may make; labels only, shared by encoder, guard and evidence."""

from enum import StrEnum


class Operation(StrEnum):
    """One member per permitted Stripe call. A call without a member here cannot be expressed."""

    CREATE_CUSTOMER = "create_customer"
    UPDATE_CUSTOMER = "update_customer"
    LIST_CUSTOMERS = "list_customers"
    RETRIEVE_CUSTOMER = "retrieve_customer"
    CREATE_INVOICE = "create_invoice"
    LIST_INVOICES = "list_invoices"
    RETRIEVE_INVOICE = "retrieve_invoice"
    LIST_INVOICE_LINES = "list_invoice_lines"
    LIST_INVOICE_PAYMENTS = "list_invoice_payments"
    LIST_PENDING_ITEMS = "list_pending_items"
    CREATE_INVOICE_ITEM = "create_invoice_item"
    FINALIZE_INVOICE = "finalize_invoice"
    PAY_INVOICE = "pay_invoice"
    VOID_INVOICE = "void_invoice"
    MARK_UNCOLLECTIBLE = "mark_uncollectible"
    CREATE_CREDIT_NOTE = "create_credit_note"
    LIST_CREDIT_NOTES = "list_credit_notes"
    RETRIEVE_CREDIT_NOTE = "retrieve_credit_note"
    RETRIEVE_PAYMENT_INTENT = "retrieve_payment_intent"
    RETRIEVE_CHARGE = "retrieve_charge"
    LIST_REFUNDS = "list_refunds"
    RETRIEVE_REFUND = "retrieve_refund"
    LIST_DISPUTES = "list_disputes"
    RETRIEVE_DISPUTE = "retrieve_dispute"
    LIST_EVENTS = "list_events"
