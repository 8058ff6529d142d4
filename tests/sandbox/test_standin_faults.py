"""Each fault does what its name says: what the client sees, and what Stripe did."""

from collections.abc import Iterator

import pytest
import stripe

from sandbox.stripe_standin import Fault, Faults, StripeStandIn
from tests.sandbox.standin_client import add_item, client_of, invoice_params, new_customer, new_draft

CREATE = "POST /v1/invoices"
KEY = {"idempotency_key": "9f3b"}


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


@pytest.mark.parametrize(
    ("fault", "error", "status", "made"),
    [
        (Fault.RATE_LIMITED, stripe.RateLimitError, 429, 0),
        (Fault.CONFLICT, stripe.APIError, 409, 0),
        (Fault.KEY_IN_USE, stripe.APIError, 409, 0),
        (Fault.UNAVAILABLE, stripe.APIError, 503, 0),
        (Fault.ERROR_BEFORE_COMMIT, stripe.APIError, 500, 0),
        (Fault.ERROR_AFTER_COMMIT, stripe.APIError, 500, 1),
        (Fault.HANG_BEFORE_COMMIT, stripe.APIConnectionError, None, 0),
        (Fault.HANG_AFTER_COMMIT, stripe.APIConnectionError, None, 1),
        (Fault.MALFORMED_BODY, stripe.APIError, 200, 1),
    ],
)
def test_a_scripted_fault_fails_the_call_and_makes_exactly_what_it_says(standin, client, fault, error, status, made):
    params = invoice_params(new_customer(client))
    standin.script(CREATE, [fault])
    with pytest.raises(error) as failed:
        client.v1.invoices.create(params, KEY)
    assert failed.value.http_status == status
    assert len(standin.objects("invoice")) == made
    assert standin.left_over() == {}


@pytest.mark.parametrize(
    "fault", [Fault.RATE_LIMITED, Fault.CONFLICT, Fault.KEY_IN_USE, Fault.UNAVAILABLE, Fault.HANG_BEFORE_COMMIT]
)
def test_what_never_ran_can_be_sent_again_with_the_same_key(standin, client, fault):
    params = invoice_params(new_customer(client))
    standin.script(CREATE, [fault])
    with pytest.raises(stripe.StripeError):
        client.v1.invoices.create(params, KEY)
    assert client.v1.invoices.create(params, KEY).status == "draft"
    assert len(standin.objects("invoice")) == 1


@pytest.mark.parametrize("fault", [Fault.HANG_AFTER_COMMIT, Fault.MALFORMED_BODY])
def test_what_ran_unseen_is_replayed_truthfully(standin, client, fault):
    params = invoice_params(new_customer(client))
    standin.script(CREATE, [fault])
    with pytest.raises(stripe.StripeError):
        client.v1.invoices.create(params, KEY)
    assert [row["id"] for row in standin.objects("invoice")] == [client.v1.invoices.create(params, KEY).id]


def test_a_429_says_when_to_come_back(standin, client):
    standin.script("GET /v1/customers", [Fault.RATE_LIMITED])
    with pytest.raises(stripe.RateLimitError) as limited:
        client.v1.customers.list()
    assert limited.value.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("fault", "field", "lie"),
    [
        (Fault.WRONG_TOTAL, "total", 8401),
        (Fault.WRONG_CURRENCY, "currency", "eur"),
        (Fault.WRONG_STATUS, "status", "void"),
    ],
)
def test_a_lie_stands_in_the_reply_only(standin, client, fault, field, lie):
    invoice = new_draft(client)
    standin.script("POST /v1/invoices/{id}/finalize", [fault])
    assert client.v1.invoices.finalize_invoice(invoice)[field] == lie
    assert client.v1.invoices.retrieve(invoice)[field] != lie


def test_an_item_can_lie_about_its_amount(standin, client):
    invoice = new_draft(client, count=0)
    standin.script("POST /v1/invoiceitems", [Fault.WRONG_TOTAL])
    assert add_item(client, invoice, 42).amount == 8401


def test_a_huge_body_is_huge_and_still_json(standin, client):
    params = invoice_params(new_customer(client))
    standin.script(CREATE, [Fault.HUGE_BODY])
    assert len(client.v1.invoices.create(params)["padding"]) > 1_000_000


def test_pruned_keys_let_the_same_key_create_twice(standin, client):
    params = invoice_params(new_customer(client))
    standin.script(CREATE, [None, Fault.PRUNED_KEYS])
    assert client.v1.invoices.create(params, KEY).id != client.v1.invoices.create(params, KEY).id


def test_a_script_is_consumed_in_order_and_only_by_its_route(standin, client):
    params = invoice_params(new_customer(client))
    standin.script(CREATE, [None, Fault.UNAVAILABLE])
    invoice = client.v1.invoices.create(params).id
    client.v1.invoices.finalize_invoice(invoice)
    assert standin.left_over() == {CREATE: 1}
    with pytest.raises(stripe.APIError):
        client.v1.invoices.create(params)


def test_a_script_can_name_one_object(standin, client):
    spared, hit = new_draft(client), new_draft(client)
    standin.script(f"POST /v1/invoices/{hit}/finalize", [Fault.UNAVAILABLE])
    assert client.v1.invoices.finalize_invoice(spared).status == "open"
    with pytest.raises(stripe.APIError):
        client.v1.invoices.finalize_invoice(hit)


def test_while_down_nothing_is_answered_and_nothing_runs(standin, client):
    standin.go_down()
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({"name": "x"})
    standin.come_back()
    assert client.v1.customers.list().data == []


def test_a_stopped_stand_in_comes_back_at_the_same_address_with_its_state(standin, client):
    customer = new_customer(client)
    address = standin.base_url
    standin.stop()
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.retrieve(customer)
    assert standin.start() == address
    assert client.v1.customers.retrieve(customer).id == customer


def outcomes(seed: int) -> list[str]:
    seen = []
    with StripeStandIn(faults=Faults.everything(seed, rate=0.6)) as standin:
        client = client_of(standin)
        for _ in range(60):
            try:
                client.v1.customers.create({"name": "x"})
                seen.append("made")
            except stripe.StripeError as error:
                seen.append(f"{type(error).__name__} {error.http_status}")
    return seen


def test_a_seed_repeats_its_faults_and_another_seed_differs():
    first = outcomes(7)
    assert first == outcomes(7)
    assert first != outcomes(8)
    assert len(set(first)) > 4


def test_reads_are_spared_by_the_seed_unless_asked_for():
    rates = {Fault.UNAVAILABLE: 1.0}
    with StripeStandIn(faults=Faults(1, rates)) as standin:
        assert client_of(standin).v1.customers.list().data == []
    with StripeStandIn(faults=Faults(1, rates, on_reads=True)) as standin, pytest.raises(stripe.APIError):
        client_of(standin).v1.customers.list()


def test_look_first_survives_every_fault_and_the_naive_client_does_not():
    """The stand-in can tell a safe client from an unsafe one: otherwise its faults prove nothing."""

    def invoices_made(*, looks_first: bool) -> int:
        with StripeStandIn(faults=Faults.everything(3, rate=0.9)) as standin:
            client = client_of(standin)
            standin.faults.enabled = False
            customer = new_customer(client)
            standin.faults.enabled = True
            for number in range(20):
                _create_until_sure(client, customer, str(number), looks_first=looks_first)
            return len(standin.objects("invoice"))

    assert invoices_made(looks_first=True) == 20
    assert invoices_made(looks_first=False) > 20


def _create_until_sure(client: stripe.StripeClient, customer: str, number: str, *, looks_first: bool) -> None:
    params = invoice_params(customer, metadata={"invoice": number})
    for attempt in range(100):
        if looks_first:
            known = client.v1.invoices.list({"customer": customer, "limit": 100}).auto_paging_iter()
            if any(row.metadata.to_dict() == {"invoice": number} for row in known):
                return
        try:
            client.v1.invoices.create(params, {"idempotency_key": f"{number}-{attempt}"})
        except stripe.StripeError:
            continue
        return
    pytest.fail("never got through")
