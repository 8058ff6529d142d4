"""The stand-in's objects have every field that real Stripe's recorded replies have, and keep up the pace."""

import http.client
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.stripe_standin import DEFAULT_API_KEY, StripeStandIn
from tests.sandbox.standin_client import charged_invoice, client_of, new_customer

RECORDED = Path(__file__).parent.parent / "stripe_gateway" / "recorded"


def fields_of(document: Any, path: str = "") -> dict[str, type]:
    """Every field by its path with its JSON type; free-form and amount-specific parts are left out."""
    found: dict[str, type] = {}
    for name, value in document.items():
        here = f"{path}.{name}" if path else name
        found[here] = type(value)
        if isinstance(value, dict) and name not in ("metadata", "payment_method_options", "payment_method_details"):
            found.update(fields_of(value, here))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found.update(fields_of(value[0], here))
    return found


# Fields whose value depends on settings of the recorded account: cards, addresses, rendering, catalogue prices.
ACCOUNT_SPECIFIC = (
    "rendering",
    "billing_details.address",
    "outcome",
    "lines.data.pricing.price_details",
    "pricing.price_details",
)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("response.Customer.create.1", "customer"),
        ("response.Invoice.pay.1", "invoice"),
        ("response.InvoiceItem.create.1", "invoiceitem"),
        ("event.charge.succeeded.na.succeeded.xlines", "charge"),
        ("event.invoice_payment.paid.na.paid.xlines", "invoice_payment"),
    ],
)
def test_an_object_has_every_field_of_the_recorded_one(file, kind):
    recorded = json.loads((RECORDED / f"{file}.json").read_text())
    recorded = recorded["data"]["object"] if recorded["object"] == "event" else recorded
    with StripeStandIn() as standin:
        client = client_of(standin)
        client.v1.invoices.finalize_invoice(charged_invoice(client), {"auto_advance": True})
        ours = fields_of(standin.objects(kind)[-1])
    expected = [name for name in fields_of(recorded) if not name.startswith(ACCOUNT_SPECIFIC)]
    assert [name for name in expected if name not in ours] == []


@pytest.mark.full
def test_it_sustains_three_hundred_writes_a_second_on_one_connection():
    with StripeStandIn() as standin:
        customer = new_customer(client_of(standin))
        connection = http.client.HTTPConnection(urlsplit(standin.base_url).netloc, timeout=10)
        begun = time.perf_counter()
        for number in range(1_000):
            headers = {"Authorization": f"Bearer {DEFAULT_API_KEY}", "Idempotency-Key": str(number)}
            connection.request("POST", "/v1/invoices", f"customer={customer}", headers)
            assert connection.getresponse().read()
        assert 1_000 / (time.perf_counter() - begun) > 300
