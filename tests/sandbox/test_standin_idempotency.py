"""Idempotency keys at the stand-in behave as Stripe documents them, the traps included."""

import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import stripe

from sandbox.stripe_standin import DEFAULT_API_KEY, Fault, StripeStandIn
from tests.sandbox.standin_client import charged_invoice, client_of, invoice_params, new_customer, new_draft

KEY = {"idempotency_key": "9f3b"}


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


def test_the_same_key_creates_once_and_says_that_it_replays(standin, client):
    params = invoice_params(new_customer(client))
    first = client.v1.invoices.create(params, KEY)
    again = client.v1.invoices.create(params, KEY)
    assert again.id == first.id
    assert len(standin.objects("invoice")) == 1
    assert "idempotent-replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.request_id


def test_a_replay_shows_the_old_body(client):
    invoice = new_draft(client)
    client.v1.invoices.finalize_invoice(invoice, {}, KEY)
    client.v1.invoices.void_invoice(invoice)
    assert client.v1.invoices.finalize_invoice(invoice, {}, KEY).status == "open"
    assert client.v1.invoices.retrieve(invoice).status == "void"


def test_the_order_of_parameters_does_not_matter(client):
    params = invoice_params(new_customer(client))
    first = client.v1.invoices.create(params, KEY)
    assert client.v1.invoices.create(dict(reversed(params.items())), KEY).id == first.id


def test_the_same_key_with_other_parameters_is_an_error(standin, client):
    params = invoice_params(new_customer(client))
    client.v1.invoices.create(params, KEY)
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.invoices.create({**params, "description": "other"}, KEY)
    assert refused.value.http_status == 400
    assert len(standin.objects("invoice")) == 1


def test_the_same_key_on_another_path_is_an_error(client):
    invoice = new_draft(client)
    client.v1.invoices.finalize_invoice(invoice, {}, KEY)
    with pytest.raises(stripe.IdempotencyError):
        client.v1.invoices.void_invoice(invoice, {}, KEY)


def test_a_402_is_replayed_although_the_card_is_good_by_now(standin, client):
    invoice = charged_invoice(client)
    client.v1.invoices.finalize_invoice(invoice, {"auto_advance": False})
    standin.dashboard.set_card("declined")
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(invoice, {}, KEY)
    standin.dashboard.set_card("succeeds")
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(invoice, {}, KEY)
    assert client.v1.invoices.pay(invoice, {}, {"idempotency_key": "another"}).status == "paid"


@pytest.mark.parametrize(("fault", "made"), [(Fault.ERROR_BEFORE_COMMIT, 0), (Fault.ERROR_AFTER_COMMIT, 1)])
def test_a_500_is_replayed_for_good(standin, client, fault, made):
    params = invoice_params(new_customer(client))
    standin.script("POST /v1/invoices", [fault])
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.invoices.create(params, KEY)
    assert len(standin.objects("invoice")) == made


def test_a_request_refused_for_its_parameters_leaves_the_key_free(client):
    params = invoice_params(new_customer(client))
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.create({**params, "frobs": 1}, KEY)
    assert client.v1.invoices.create(params, KEY).status == "draft"


def test_a_request_refused_for_the_objects_state_is_replayed(client):
    invoice = new_draft(client)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.void_invoice(invoice, {}, KEY)
    client.v1.invoices.finalize_invoice(invoice)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.void_invoice(invoice, {}, KEY)


def test_a_pruned_key_creates_a_second_invoice(standin, client):
    params = invoice_params(new_customer(client))
    first = client.v1.invoices.create(params, KEY)
    assert standin.dashboard.prune_idempotency_keys() >= 1
    assert client.v1.invoices.create(params, KEY).id != first.id


def test_a_key_is_forgotten_after_twenty_four_hours(standin, client):
    standin.dashboard.set_clock(1_800_000_000)
    params = invoice_params(new_customer(client))
    first = client.v1.invoices.create(params, KEY)
    standin.dashboard.advance_clock(24 * 3600 - 1)
    assert client.v1.invoices.create(params, KEY).id == first.id
    standin.dashboard.advance_clock(1)
    assert client.v1.invoices.create(params, KEY).id != first.id


def test_a_key_in_flight_is_a_409(standin, client):
    params = invoice_params(new_customer(client))
    results: list[str] = []
    standin.script("POST /v1/invoices", [Fault.HOLD])
    slow = threading.Thread(target=lambda: results.append(client.v1.invoices.create(params, KEY).id))
    slow.start()
    while not standin.objects("invoice"):  # the first request has run; its reply is held back
        assert slow.is_alive()
    with pytest.raises(stripe.APIError) as refused:
        client_of(standin).v1.invoices.create(params, KEY)
    standin.release()
    slow.join(10)

    assert refused.value.http_status == 409
    assert refused.value.json_body["error"]["code"] == "idempotency_key_in_use"
    assert [row["id"] for row in standin.objects("invoice")] == results
    assert client.v1.invoices.create(params, KEY).id == results[0]


def test_fifty_requests_at_once_with_one_key_create_one_invoice(standin, client):
    body = f"customer={new_customer(client)}&collection_method=send_invoice&days_until_due=30"
    headers = {"Authorization": f"Bearer {DEFAULT_API_KEY}", "Idempotency-Key": "one"}
    statuses: list[int] = []

    def create() -> None:
        connection = http.client.HTTPConnection(urlsplit(standin.base_url).netloc, timeout=10)
        connection.request("POST", "/v1/invoices", body, headers)
        response = connection.getresponse()
        json.loads(response.read())
        statuses.append(response.status)

    threads = [threading.Thread(target=create) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(statuses) == 50
    assert set(statuses) <= {200, 409}
    assert len(standin.objects("invoice")) == 1


def test_reads_ignore_keys(client):
    invoice = new_draft(client)
    assert client.v1.invoices.retrieve(invoice, {}, KEY).status == "draft"
    client.v1.invoices.finalize_invoice(invoice)
    assert client.v1.invoices.retrieve(invoice, {}, KEY).status == "open"
