"""Webhooks: signed, at least once, in no promised order, and sometimes not at all."""

import http.server
import threading
from collections.abc import Iterator, Mapping

import pytest
import stripe

from sandbox.stripe_standin import DEFAULT_WEBHOOK_SECRET, Faults, StripeStandIn, WebhookFault
from tests.sandbox.standin_client import client_of, new_customer, open_invoice


class Inbox:
    """An endpoint in this process that verifies what it gets with the real SDK."""

    def __init__(self) -> None:
        self.events: list[stripe.Event] = []
        self.status = 200

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> int:
        event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], DEFAULT_WEBHOOK_SECRET)
        self.events.append(event)
        return self.status

    def types(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def standin(inbox: Inbox) -> Iterator[StripeStandIn]:
    with StripeStandIn(webhook_url=inbox) as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


def test_each_change_of_an_invoice_is_told_signed_and_in_order(standin, client, inbox):
    standin.dashboard.pay_invoice(open_invoice(client))
    standin.deliver_now()
    milestones = [kind for kind in inbox.types() if kind != "invoice.updated"]
    assert milestones == [
        "customer.created",
        "invoice.created",
        "invoiceitem.created",
        "invoice.finalized",
        "payment_intent.created",
        "invoice.sent",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
    ]


def test_an_event_names_the_request_that_caused_it_and_none_for_people(standin, client, inbox):
    invoice = open_invoice(client)
    client.v1.invoices.update(invoice, {"metadata": {"a": "b"}}, {"idempotency_key": "k1"})
    standin.deliver_now()
    assert inbox.events[-1].request.idempotency_key == "k1"
    assert inbox.events[-1].data.previous_attributes["metadata"].to_dict() == {"invoice": "7f0c"}
    standin.dashboard.edit("invoice", invoice, description="changed by staff")
    standin.deliver_now()
    assert inbox.events[-1].request.id is None
    assert inbox.events[-1].data.object.description == "changed by staff"


def test_an_event_is_a_snapshot_of_its_moment(standin, client, inbox):
    invoice = open_invoice(client)
    client.v1.invoices.void_invoice(invoice)
    standin.deliver_now()
    finalized = next(event for event in inbox.events if event.type == "invoice.finalized")
    assert finalized.data.object.status == "open"


def test_a_wrong_secret_is_noticed_by_the_sdk(standin, client, inbox):
    standin.courier.secret = "whsec_other"
    new_customer(client)
    (delivery,) = standin.deliver_now()
    assert (delivery.status, inbox.events) == (0, [])
    assert [event["type"] for event in standin.undelivered()] == ["customer.created"]


def test_an_endpoint_that_fails_gets_the_event_again(standin, client, inbox):
    inbox.status = 500
    new_customer(client)
    assert [delivery.status for delivery in standin.deliver_now()] == [500]
    inbox.status = 200
    assert [delivery.status for delivery in standin.deliver_now()] == [200]
    assert standin.deliver_now() == []
    assert inbox.events[0].id == inbox.events[1].id


def test_events_caused_by_the_endpoint_are_delivered_in_the_same_go(standin, client, inbox):
    invoice = open_invoice(client)
    standin.deliver_now()

    def voiding(body: bytes, headers: Mapping[str, str]) -> int:
        if client.v1.invoices.retrieve(invoice).status == "open":
            client.v1.invoices.void_invoice(invoice)
        return inbox(body, headers)

    standin.set_webhook(voiding)
    new_customer(client)
    standin.deliver_now()
    assert inbox.types()[-1] == "invoice.voided"
    assert standin.undelivered() == []


def test_what_was_created_while_suspended_is_delivered_later(standin, client, inbox):
    standin.courier.suspend()
    new_customer(client)
    assert standin.deliver_now() == []
    standin.courier.resume()
    standin.deliver_now()
    assert inbox.types() == ["customer.created"]


def test_a_lost_event_is_found_through_the_api_only(standin, client, inbox):
    first = new_customer(client)
    standin.deliver_now()
    lost = new_customer(client)
    assert standin.courier.lose_waiting() == 1
    assert standin.deliver_now() == []
    missed = client.v1.events.list({"delivery_success": False}).data
    assert [event.data.object.id for event in missed] == [lost]
    assert missed[0].pending_webhooks == 1
    assert [event.data.object.id for event in client.v1.events.list({"delivery_success": True}).data] == [first]
    standin.courier.redeliver(missed[0].id)
    assert inbox.events[-1].id == missed[0].id
    assert standin.undelivered() == []


def test_a_duplicated_event_arrives_twice_with_one_id(standin, client, inbox):
    standin.script_webhooks("customer.created", [WebhookFault.DUPLICATED])
    new_customer(client)
    standin.deliver_now()
    assert inbox.types() == ["customer.created"] * 2
    assert len({event.id for event in inbox.events}) == 1


def test_a_reordered_event_arrives_after_the_others(standin, client, inbox):
    standin.script_webhooks("customer.created", [WebhookFault.REORDERED])
    open_invoice(client)
    standin.deliver_now()
    assert inbox.types()[-1] == "customer.created"


def test_a_delayed_event_arrives_with_the_next_round(standin, client, inbox):
    standin.script_webhooks("customer.created", [WebhookFault.DELAYED])
    new_customer(client)
    assert standin.deliver_now() == []
    assert [delivery.event_type for delivery in standin.deliver_now()] == ["customer.created"]


def test_a_dropped_event_never_arrives(standin, client, inbox):
    standin.script_webhooks("customer.created", [WebhookFault.DROPPED])
    new_customer(client)
    assert standin.deliver_now() + standin.deliver_now() == []
    assert [event["type"] for event in standin.undelivered()] == ["customer.created"]


def test_a_seed_disturbs_deliveries_but_loses_nothing_it_does_not_drop(inbox):
    rates = {WebhookFault.DUPLICATED: 0.3, WebhookFault.REORDERED: 0.3, WebhookFault.DELAYED: 0.2}
    with StripeStandIn(webhook_url=inbox, faults=Faults(5, webhook_rates=rates)) as standin:
        for _ in range(40):
            new_customer(client_of(standin))
        while standin.undelivered():
            standin.deliver_now()
        created = [event["id"] for event in standin.objects("event")]
    arrived = [event.id for event in inbox.events]
    assert set(arrived) == set(created)
    assert len(arrived) > len(created)
    assert list(dict.fromkeys(arrived)) != created


def test_a_url_is_delivered_to_in_the_background_until_it_accepts(client, standin, inbox):
    accepted = threading.Event()
    answers = [500, 200]

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox(self.rfile.read(int(self.headers["Content-Length"])), self.headers)
            status = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            if status == 200:
                accepted.set()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with StripeStandIn(webhook_url=f"http://127.0.0.1:{server.server_address[1]}/hook") as background:
        new_customer(client_of(background))
        assert accepted.wait(10)
    server.shutdown()
    server.server_close()
    assert inbox.types() == ["customer.created"] * 2
    assert background.undelivered() == []
