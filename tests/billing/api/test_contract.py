"""The OpenAPI description: without warnings, without anybody's data, and true to what the API answers."""

import io
import json
import re
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from billing.api.docs import _schema
from billing.api.errors import REFUSALS
from billing.api.urls import ROUTES

COMMITTED = Path(__file__).resolve().parents[3] / "docs/openapi.yaml"


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(_schema(), default=str))


def _in_braces(path):
    return re.sub(r"<uuid:(\w+)>", r"{\1}", path)


def test_the_description_is_valid_and_raises_no_warning(capsys):
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())
    assert "Warning" not in capsys.readouterr().err


def test_the_description_has_every_route_once_and_no_other(schema):
    described = {(path, method) for path, methods in schema["paths"].items() for method in methods}
    assert described == {(f"/api/{_in_braces(route.path)}", method) for route in ROUTES for method in route.actions}


def test_every_operation_needs_the_key_and_says_its_scope(schema):
    for methods in schema["paths"].values():
        for method, operation in methods.items():
            sessions = [{"StaffSession": []}] if method == "get" else []
            assert operation["security"] == [{"ApiKey": []}, *sessions]
            assert re.search(r"Needs `\w+:\w+`", operation["description"])
            assert {"400", "401", "403", "405", "406", "429", "500"} <= set(operation["responses"])


def test_every_refusal_is_documented_somewhere(schema):
    text = json.dumps(schema["paths"])
    assert [refusal.code for refusal in REFUSALS.values() if f"`{refusal.code}`" not in text] == []


def test_request_bodies_are_closed(schema):
    bodies = [body for name, body in schema["components"]["schemas"].items() if name.endswith("Request")]
    assert len(bodies) == 5
    assert all(body["additionalProperties"] is False for body in bodies)


def test_the_invoices_names_are_the_products(schema):
    assert list(schema["components"]["schemas"]["InvoiceDetail"]["properties"]) == [
        "invoice_id", "office_id", "billing_period_start", "billing_period_end", "total_amount", "currency", "status",
        "stripe_invoice_id", "invoice_type", "created_at", "updated_at", "payments", "refunds", "credit_notes",
        "disputes", "corrections", "line_items", "line_items_next", "totals", "hosted_invoice_url",
    ]  # fmt: skip


def test_examples_hold_no_identity(schema):
    examples = [
        json.dumps(example["value"])
        for methods in schema["paths"].values()
        for operation in methods.values()
        for described in (operation.get("requestBody", {}), *operation["responses"].values())
        for example in described.get("content", {}).get("application/json", {}).get("examples", {}).values()
    ]
    assert examples
    assert not [text for text in examples if re.search(r"_name|birth|email|phone|@", text)]


def test_the_description_and_its_page_are_open_and_work_without_scripts(db):
    client = Client()
    assert client.get("/api/schema/").status_code == 200
    page = client.get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!/api/|#)', text)
    for route in ROUTES:
        assert _in_braces(route.path) in text


def test_the_committed_description_is_the_one_that_is_served():
    out = io.StringIO()
    call_command("spectacular", stdout=out)
    committed = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    assert committed == yaml.safe_load(out.getvalue()), "call: python manage.py spectacular --file docs/openapi.yaml"


def test_every_write_takes_an_idempotency_key_and_every_read_a_tag(schema):
    for methods in schema["paths"].values():
        for method, operation in methods.items():
            named = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert ("Idempotency-Key" in named) == (method == "post")
            assert ("304" in operation["responses"]) == (method == "get")
            if method == "post":
                assert {"409", "411", "413", "422", "503"} <= set(operation["responses"])
            for status, response in operation["responses"].items():
                assert {"X-Request-Id", "RateLimit"} <= set(response["headers"]), status
