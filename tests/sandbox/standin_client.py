"""The first steps every stand-in test takes, with the real SDK."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import requests
import stripe

from sandbox.stripe_standin import DEFAULT_API_KEY, StripeStandIn


class LoopbackOnly(stripe.RequestsClient):
    """The SDK's own transport, for this machine alone.

    The product's guard closes the SDK's default transports in every process. These tests exercise the stand-in, not
    the product, so they bring a transport of their own; it refuses any other address, and the guard stays installed.
    """

    def __init__(self) -> None:
        session = requests.Session()
        session.trust_env = False
        super().__init__(session=session, timeout=(5, 30))

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        if urlsplit(url).hostname != "127.0.0.1":
            raise AssertionError("a stand-in test tried to leave this machine")
        return super().request(method, url, headers, post_data)


def client_at(address: str) -> stripe.StripeClient:
    return stripe.StripeClient(DEFAULT_API_KEY, base_addresses={"api": address}, http_client=LoopbackOnly())


def client_of(standin: StripeStandIn) -> stripe.StripeClient:
    return client_at(standin.base_url)


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
