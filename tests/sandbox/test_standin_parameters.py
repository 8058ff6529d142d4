"""Requests Stripe would refuse are refused, for the same parameter."""

import http.client
import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
import stripe.params

from sandbox.stripe_standin import DEFAULT_API_KEY, StripeStandIn
from sandbox.stripe_standin.parameters import UnreadableParameterType, _fields_of
from tests.sandbox.standin_client import client_of, invoice_params, new_customer, new_draft


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


def send(standin: StripeStandIn, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(standin.base_url).netloc, timeout=10)
    given = {"Authorization": f"Bearer {DEFAULT_API_KEY}", **headers}
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in given.items() if value})
    response = connection.getresponse()
    return response.status, json.loads(response.read() or b"null")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"frequency": "monthly"}, "parameter_unknown", "frequency"),
        ({"payment_settings": {"frobs": 1}}, "parameter_unknown", "payment_settings[frobs]"),
        ({"collection_method": "carrier_pigeon"}, "parameter_invalid_enum", "collection_method"),
        ({"days_until_due": "soon"}, "parameter_invalid_integer", "days_until_due"),
        ({"auto_advance": "perhaps"}, "parameter_invalid_boolean", "auto_advance"),
        ({"description": ""}, "parameter_invalid_empty", "description"),
        ({"description": "x" * 1501}, "parameter_invalid_string_length", "description"),
        ({"number": "x" * 27}, "parameter_invalid_string_length", "number"),
        ({"metadata": {"k" * 41: "v"}}, "parameter_invalid_string_length", f"metadata[{'k' * 40}]"),
        ({"metadata": {"k": "v" * 501}}, "parameter_invalid_string_length", "metadata[k]"),
        ({"metadata": {str(n): "v" for n in range(51)}}, "parameter_invalid_metadata", "metadata"),
        ({"issuer": {}, "from_invoice": {"action": "revision"}}, "parameter_missing", "from_invoice[invoice]"),
        ({"custom_fields": "none"}, "parameter_invalid_type", "custom_fields"),
        ({"footer": {"text": "x"}}, "parameter_invalid_type", "footer"),
    ],
)
def test_a_wrong_parameter_of_an_invoice_is_named(standin, client, fields, code, param):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.create(invoice_params(new_customer(client), **fields))
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)
    assert standin.objects("invoice") == []


@pytest.mark.parametrize("gone", ["unit_amount", "price"])
def test_parameters_that_this_api_version_dropped_are_unknown(client, gone):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoice_items.create({"invoice": new_draft(client), "currency": "usd", gone: 200})
    assert refused.value.code == "parameter_unknown"


@pytest.mark.parametrize("number", ["1e400", "NaN", "1.0000000000001", "two", "1_0", "\u00b2"])
def test_a_number_that_is_no_decimal_of_twelve_places_is_refused(client, number):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoice_items.create({"invoice": new_draft(client), "currency": "usd", "unit_amount_decimal": number})
    assert refused.value.param == "unit_amount_decimal"


def test_the_longest_allowed_texts_pass(client):
    fields = {"description": "x" * 1500, "metadata": {f"{n:040}": "v" * 500 for n in range(50)}}
    assert len(client.v1.invoices.create(invoice_params(new_customer(client), **fields)).metadata.to_dict()) == 50


def test_metadata_is_merged_and_an_empty_value_removes_a_key(client):
    invoice = new_draft(client)
    changed = client.v1.invoices.update(invoice, {"metadata": {"invoice": "", "cycle": "2026-01"}})
    assert changed.metadata.to_dict() == {"cycle": "2026-01"}


@pytest.mark.parametrize("key", ["", "Bearer sk_test_wrong", "Basic abc", "Bearer "])
def test_without_the_right_key_nothing_runs(standin, key):
    status, body = send(standin, "POST", "/v1/customers", "name=x", Authorization=key)
    assert (status, body["error"]["type"]) == (401, "invalid_request_error")
    assert standin.objects("customer") == []
    assert "sk_test_wrong" not in str(body)


def test_a_version_that_is_none_is_refused(standin):
    status, _ = send(standin, "GET", "/v1/invoices", Stripe_Version="latest")
    assert status == 400


@pytest.mark.parametrize("path", ["/v1/subscriptions", "/v1/invoices/in_1/frob", "/", "/v2/x", "/v1"])
def test_an_unknown_path_is_a_404(standin, path):
    status, body = send(standin, "POST", path)
    assert (status, body["error"]["message"][:20]) == (404, "Unrecognized request")


@pytest.mark.parametrize(
    "body",
    [
        "a" + "[b]" * 50_000 + "=1",
        "=1",
        "a[=1",
        "[]=1",
        "a=1&a[b]=2",
        "\xff=%ff",
        "preferred_locales[0]=en&preferred_locales[x]=de",
        "preferred_locales[%C2%B2]=en",
    ],
)
def test_malformed_bodies_are_a_400(standin, body):
    status, _ = send(standin, "POST", "/v1/customers", body)
    assert status == 400


def test_a_body_over_a_mebibyte_is_refused_before_it_is_read(standin):
    status, _ = send(standin, "POST", "/v1/customers", "", Content_Length=str(10 * 1024 * 1024))
    assert status == 413


def test_every_typed_parameter_of_the_installed_package_is_understood():
    understood = []
    for module in pkgutil.iter_modules(stripe.params.__path__, "stripe.params."):
        if module.ispkg or module.name.endswith("_file_create_params"):  # a file upload is no form
            continue
        for name, typed in vars(importlib.import_module(module.name)).items():
            if name.endswith("Params") and isinstance(typed, type):
                try:
                    _fields_of(typed)
                except UnreadableParameterType as unreadable:
                    pytest.fail(f"{name}: {unreadable}")
                understood.append(name)
    assert len(understood) > 300
