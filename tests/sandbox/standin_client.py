"""The first steps every stand-in test takes, with the real SDK."""

from decimal import Decimal
from typing import Any

import stripe

from sandbox.stripe_standin import DEFAULT_API_KEY, StripeStandIn

stripe.enable_telemetry = False


def client_of(standin: StripeStandIn, **options: Any) -> stripe.StripeClient:
    return stripe.StripeClient(DEFAULT_API_KEY, base_addresses={"api": standin.base_url}, **options)


def new_customer(client: stripe.StripeClient, **fields: Any) -> str:
    return client.v1.customers.create({"name": "Office", "email": "office@clinic.example", **fields}).id


def invoice_params(customer: str, **fields: Any) -> dict[str, Any]:
    return {
        "customer": customer,
        "collection_method": "send_invoice",
        "days_until_due": 30,
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "currency": "usd",
        "description": "Patient accounts",
        "metadata": {"invoice": "7f0c"},
        **fields,
    }


def charged_params(customer: str, **fields: Any) -> dict[str, Any]:
    params = invoice_params(customer, collection_method="charge_automatically", **fields)
    del params["days_until_due"]
    return params


def add_item(client: stripe.StripeClient, invoice: str, count: int = 42, cents: str = "200") -> stripe.InvoiceItem:
    params = {
        "invoice": invoice,
        "quantity_decimal": Decimal(count),
        "unit_amount_decimal": Decimal(cents),
        "currency": "usd",
        "description": "Active patient accounts",
    }
    customer = client.v1.invoices.retrieve(invoice).customer
    return client.v1.invoice_items.create({**params, "customer": customer})


def new_draft(client: stripe.StripeClient, count: int = 42, cents: str = "200", **fields: Any) -> str:
    invoice = client.v1.invoices.create(invoice_params(new_customer(client), **fields)).id
    if count:
        add_item(client, invoice, count, cents)
    return invoice


def open_invoice(client: stripe.StripeClient, **fields: Any) -> str:
    invoice = new_draft(client, **fields)
    client.v1.invoices.finalize_invoice(invoice, {"auto_advance": True})
    return invoice


def charged_invoice(client: stripe.StripeClient, count: int = 42) -> str:
    invoice = client.v1.invoices.create(charged_params(new_customer(client))).id
    add_item(client, invoice, count)
    return invoice
