"""Inspection, steering from another process, and state that survives."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stripe

from sandbox.stripe_standin import Fault, StripeStandIn
from sandbox.stripe_standin.dashboard import UnknownCard
from tests.sandbox.standin_client import client_at, client_of, invoice_params, new_customer, new_draft, open_invoice


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


def control(address: str, name: str, **arguments: Any) -> Any:
    request = urllib.request.Request(f"{address}/_standin/{name}", json.dumps(arguments).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["result"]


def test_every_byte_that_arrived_can_be_read(standin, client):
    client.v1.customers.create({"name": "Näme & Co", "metadata": {"office": "7f0c"}}, {"idempotency_key": "key-1"})
    arrived = standin.all_bytes()
    for expected in (b"POST /v1/customers", b"N%C3%A4me", b"metadata[office]=7f0c", b"key-1", b"User-Agent"):
        assert expected in arrived
    (request,) = standin.requests
    assert (request.header("idempotency-key"), ("name", "Näme & Co") in request.parameters()) == ("key-1", True)


def test_descriptions_are_collected_at_any_depth(standin, client):
    invoice = new_draft(client)
    client.v1.invoices.add_lines(invoice, {"lines": [{"amount": 1, "description": "Deep inside"}]})
    assert standin.distinct_descriptions() == {"Patient accounts", "Active patient accounts", "Deep inside"}


def test_requests_are_counted_by_route_also_when_they_fail(standin, client):
    params = invoice_params(new_customer(client))
    standin.script("POST /v1/invoices", [Fault.HANG_BEFORE_COMMIT])
    with pytest.raises(stripe.APIConnectionError):
        client.v1.invoices.create(params)
    client.v1.invoices.retrieve(client.v1.invoices.create(params).id)
    assert standin.counts() == {"POST /v1/customers": 1, "POST /v1/invoices": 2, "GET /v1/invoices/{id}": 1}
    assert standin.writes() == 3


def test_what_is_handed_out_is_a_copy(standin, client):
    invoice = new_draft(client)
    standin.get("invoice", invoice)["total"] = 1
    standin.objects("invoice")[0]["lines"]["data"].clear()
    assert client.v1.invoices.retrieve(invoice).total == 8400
    assert len(client.v1.invoices.retrieve(invoice).lines.data) == 1


def test_another_process_can_act_as_the_customer_the_bank_and_staff(standin, client):
    invoice = open_invoice(client)
    control(standin.base_url, "pay_invoice", invoice_id=invoice)
    assert client.v1.invoices.retrieve(invoice).status == "paid"
    dispute = control(standin.base_url, "dispute", invoice_id=invoice)
    control(standin.base_url, "close_dispute", dispute_id=dispute["id"], won=False)
    control(standin.base_url, "edit", kind="invoice", object_id=invoice, description="edited")
    control(standin.base_url, "script", target="POST /v1/customers", steps=["UNAVAILABLE"])
    assert client.v1.invoices.retrieve(invoice).description == "edited"
    with pytest.raises(stripe.APIError):
        new_customer(client)
    assert "POST /v1/invoices" in control(standin.base_url, "counts")


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("no_such_control", {}, 404),
        ("pay_invoice", {}, 400),
        ("pay_invoice", {"invoice_id": "in_unknown"}, 404),
        ("set_card", {"card": "golden"}, 400),
        ("script", {"target": "*", "steps": ["NO_SUCH_FAULT"]}, 400),
    ],
)
def test_a_wrong_control_is_refused(standin, name, arguments, status):
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(standin.base_url, name, **arguments)
    assert refused.value.code == status
    refused.value.close()


def test_controls_are_not_counted_as_api_requests(standin):
    control(standin.base_url, "counts")
    assert standin.requests == ()


def test_tampering_changes_the_books_without_an_event(standin, client):
    invoice = open_invoice(client)
    before = len(standin.objects("event"))
    standin.dashboard.tamper("invoice", invoice, total=1)
    assert client.v1.invoices.retrieve(invoice).total == 1
    standin.dashboard.forget("invoice", invoice)
    assert client.v1.invoices.list().data == []
    assert len(standin.objects("event")) == before


def test_a_card_behaves_per_customer(standin, client):
    standin.dashboard.set_card("declined", new_customer(client))
    with pytest.raises(UnknownCard):
        standin.dashboard.set_card("golden")


def test_the_clock_takes_aware_datetimes_only(standin, client):
    standin.dashboard.set_clock(datetime(2026, 1, 31, tzinfo=UTC))
    assert client.v1.customers.create().created == 1769817600
    with pytest.raises(ValueError, match="aware"):
        standin.dashboard.set_clock(datetime(2026, 1, 31))


def test_the_hosted_page_shows_the_invoice_and_its_button_pays(client):
    invoice = client.v1.invoices.retrieve(open_invoice(client))
    with urllib.request.urlopen(invoice.hosted_invoice_url, timeout=10) as shown:
        page = shown.read().decode()
    assert "84.00 USD" in page
    assert "<button>Pay" in page
    with urllib.request.urlopen(invoice.hosted_invoice_url, data=b"", timeout=10) as paid:
        assert "status: paid" in paid.read().decode()
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"


def test_state_survives_a_restart_in_a_file(tmp_path: Path):
    path = tmp_path / "stripe.sqlite3"
    with StripeStandIn(state_path=path) as first:
        client = client_of(first)
        first.dashboard.set_clock(1_800_000_000)
        params = invoice_params(new_customer(client))
        invoice = client.v1.invoices.create(params, {"idempotency_key": "k"}).id
        customers = [new_customer(client) for _ in range(3)]
        client.v1.customers.delete(customers[0])
        client.v1.invoices.finalize_invoice(invoice)
        events = [event["id"] for event in first.undelivered()]
    arrived: list[bytes] = []
    with StripeStandIn(state_path=path, webhook_url=lambda body, _headers: arrived.append(body) or 200) as second:
        client = client_of(second)
        assert client.v1.invoices.create(params, {"idempotency_key": "k"}).id == invoice
        assert [row.id for row in client.v1.customers.list({"limit": 2}).data] == customers[:0:-1]
        assert [row.id for row in client.v1.invoices.list({"customer": params["customer"]}).data] == [invoice]
        assert client.v1.invoices.retrieve(invoice).status == "paid"  # nothing was due
        assert client.v1.customers.retrieve(customers[0]).deleted is True
        assert client.v1.customers.create().created == 1_800_000_000
        assert [delivery.event_id for delivery in second.deliver_now()][: len(events)] == events
        assert len(arrived) == len(events) + 1


def test_the_command_serves_alone_and_prints_address_and_seed(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "sandbox.stripe_standin",
        "--port",
        "0",
        "--state",
        str(tmp_path / "state.sqlite3"),
    ]
    with subprocess.Popen([*command, "--seed", "7", "--fault-rate", "0"], stdout=subprocess.PIPE, text=True) as process:
        greeting = process.stdout.readline()
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+", greeting)[0]
            client = client_at(address)
            invoice = open_invoice(client)
            control(address, "pay_invoice", invoice_id=invoice)
            assert client.v1.invoices.retrieve(invoice).status == "paid"
        finally:
            process.terminate()
    assert "seed: 7" in greeting
    assert process.returncode == 0


def test_the_tests_own_client_cannot_leave_this_machine():
    with pytest.raises(AssertionError, match="leave this machine"):
        client_at("https://api.stripe.com").v1.customers.list()
