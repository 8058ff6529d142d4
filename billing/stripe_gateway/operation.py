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
    CREATE_INVOICE_ITEM = "create_invoice_item"
    FINALIZE_INVOICE = "finalize_invoice"
    PAY_INVOICE = "pay_invoice"
    VOID_INVOICE = "void_invoice"
