"""The API's table of contents: which path takes which typed parameters and is answered by which function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import stripe.params as typed

from sandbox.stripe_standin import collection, credit_notes, customers, events, invoices, lines, payments, refunds
from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json

Handler: TypeAlias = Callable[[Account, Json, str], Json]


@dataclass(frozen=True)
class Route:
    """One endpoint."""

    label: str
    typed: type
    handler: Handler
    limits: Mapping[str, int] = field(default_factory=dict)


_INVOICE_LIMITS = {"description": invoices.DESCRIPTION_LENGTH, "number": invoices.NUMBER_LENGTH}
# customer: descriptions of `email` and `name` in CustomerCreateParams
_CUSTOMER_LIMITS = {"email": 512, "name": 256}

ROUTES: tuple[Route, ...] = (
    Route("POST /v1/customers", typed.CustomerCreateParams, customers.create_customer, _CUSTOMER_LIMITS),
    Route("GET /v1/customers", typed.CustomerListParams, customers.list_customers),
    Route("GET /v1/customers/{id}", typed.CustomerRetrieveParams, customers.retrieve_customer),
    Route("POST /v1/customers/{id}", typed.CustomerUpdateParams, customers.update_customer, _CUSTOMER_LIMITS),
    Route("DELETE /v1/customers/{id}", typed.CustomerDeleteParams, customers.delete_customer),
    Route("POST /v1/products", typed.ProductCreateParams, customers.create_product),
    Route("GET /v1/products", typed.ProductListParams, customers.list_products),
    Route("GET /v1/products/{id}", typed.ProductRetrieveParams, customers.retrieve_product),
    Route("POST /v1/invoices", typed.InvoiceCreateParams, invoices.create_invoice, _INVOICE_LIMITS),
    Route("GET /v1/invoices", typed.InvoiceListParams, invoices.list_invoices),
    Route("GET /v1/invoices/{id}", typed.InvoiceRetrieveParams, invoices.retrieve_invoice),
    Route("POST /v1/invoices/{id}", typed.InvoiceUpdateParams, invoices.update_invoice, _INVOICE_LIMITS),
    Route("DELETE /v1/invoices/{id}", typed.InvoiceDeleteParams, invoices.delete_invoice),
    Route("POST /v1/invoices/{id}/finalize", typed.InvoiceFinalizeInvoiceParams, collection.finalize_invoice),
    Route("POST /v1/invoices/{id}/pay", typed.InvoicePayParams, collection.pay_invoice),
    Route("POST /v1/invoices/{id}/void", typed.InvoiceVoidInvoiceParams, collection.void_invoice),
    Route(
        "POST /v1/invoices/{id}/mark_uncollectible",
        typed.InvoiceMarkUncollectibleParams,
        collection.mark_uncollectible,
    ),
    Route("POST /v1/invoices/{id}/send", typed.InvoiceSendInvoiceParams, collection.send_invoice),
    Route("POST /v1/invoices/{id}/add_lines", typed.InvoiceAddLinesParams, lines.add_lines),
    Route("GET /v1/invoices/{id}/lines", typed.InvoiceLineItemListParams, lines.list_lines),
    Route("POST /v1/invoiceitems", typed.InvoiceItemCreateParams, lines.create_item),
    Route("GET /v1/invoiceitems", typed.InvoiceItemListParams, lines.list_items),
    Route("GET /v1/invoiceitems/{id}", typed.InvoiceItemRetrieveParams, lines.retrieve_item),
    Route("DELETE /v1/invoiceitems/{id}", typed.InvoiceItemDeleteParams, lines.delete_item),
    Route("GET /v1/invoice_payments", typed.InvoicePaymentListParams, payments.list_invoice_payments),
    Route("GET /v1/invoice_payments/{id}", typed.InvoicePaymentRetrieveParams, payments.retrieve_invoice_payment),
    Route("GET /v1/payment_intents", typed.PaymentIntentListParams, payments.list_intents),
    Route("GET /v1/payment_intents/{id}", typed.PaymentIntentRetrieveParams, payments.retrieve_intent),
    Route("GET /v1/charges", typed.ChargeListParams, payments.list_charges),
    Route("GET /v1/charges/{id}", typed.ChargeRetrieveParams, payments.retrieve_charge),
    Route("POST /v1/refunds", typed.RefundCreateParams, refunds.create_refund),
    Route("GET /v1/refunds", typed.RefundListParams, refunds.list_refunds),
    Route("GET /v1/refunds/{id}", typed.RefundRetrieveParams, refunds.retrieve_refund),
    Route("GET /v1/disputes", typed.DisputeListParams, refunds.list_disputes),
    Route("GET /v1/disputes/{id}", typed.DisputeRetrieveParams, refunds.retrieve_dispute),
    Route("POST /v1/credit_notes", typed.CreditNoteCreateParams, credit_notes.create_credit_note),
    Route("GET /v1/credit_notes", typed.CreditNoteListParams, credit_notes.list_credit_notes),
    Route("GET /v1/credit_notes/{id}", typed.CreditNoteRetrieveParams, credit_notes.retrieve_credit_note),
    Route("POST /v1/credit_notes/{id}/void", typed.CreditNoteVoidCreditNoteParams, credit_notes.void_credit_note),
    Route("GET /v1/events", typed.EventListParams, events.list_events),
    Route("GET /v1/events/{id}", typed.EventRetrieveParams, events.retrieve_event),
)
_BY_LABEL = {route.label: route for route in ROUTES}


def find_route(method: str, path: str) -> tuple[Route | None, str, str]:
    """Return the route of a request, the label it would have, and the object id in its path."""
    parts = path.strip("/").split("/")
    object_id = parts[2] if len(parts) > 2 else ""
    label = f"{method} /" + "/".join([*parts[:2], *(["{id}"] if object_id else []), *parts[3:]])
    return _BY_LABEL.get(label), label, object_id
