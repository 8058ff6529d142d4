"""Lists: newest first, cursors that neither skip nor repeat, filters, expansion."""

from collections.abc import Iterator

import pytest
import stripe

from sandbox.stripe_standin import StripeStandIn
from tests.sandbox.standin_client import client_of, invoice_params, new_customer, open_invoice


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


@pytest.fixture
def customers(client: stripe.StripeClient) -> list[str]:
    """25 customers, newest first."""
    return [new_customer(client) for _ in range(25)][::-1]


def test_a_page_holds_ten_unless_asked_otherwise(client, customers):
    page = client.v1.customers.list()
    assert ([row.id for row in page.data], page.has_more) == (customers[:10], True)


def test_automatic_paging_sees_each_object_once(client, customers):
    assert [row.id for row in client.v1.customers.list({"limit": 7}).auto_paging_iter()] == customers


def test_a_page_can_be_read_backwards(client, customers):
    page = client.v1.customers.list({"limit": 5, "ending_before": customers[10]})
    assert ([row.id for row in page.data], page.has_more) == (customers[5:10], True)


def test_the_last_page_says_so(client, customers):
    page = client.v1.customers.list({"limit": 5, "starting_after": customers[19]})
    assert ([row.id for row in page.data], page.has_more) == (customers[20:], False)


@pytest.mark.parametrize("params", [{"limit": 101}, {"limit": 0}, {"starting_after": "cus_unknown"}])
def test_an_impossible_page_is_refused(client, customers, params):
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.list(params)


def test_a_new_object_is_listed_at_once(client):
    customer = new_customer(client)
    invoice = client.v1.invoices.create(invoice_params(customer))
    assert [row.id for row in client.v1.invoices.list({"customer": customer}).data] == [invoice.id]


def test_invoices_are_filtered_by_customer_status_and_time(standin, client):
    standin.dashboard.set_clock(1_000)
    old = open_invoice(client)
    standin.dashboard.set_clock(2_000)
    new = open_invoice(client)
    standin.dashboard.pay_invoice(new)

    def ids(**params):
        return [row.id for row in client.v1.invoices.list(params).data]

    assert ids(status="open") == [old]
    assert ids(created={"gte": 2_000}) == [new]
    assert ids(created={"lt": 2_000}) == [old]
    assert ids(created=1_000) == [old]
    assert ids(customer=client.v1.invoices.retrieve(new).customer, status="open") == []


def test_references_are_expanded_in_lists_and_objects(client):
    invoice = open_invoice(client)
    (row,) = client.v1.invoices.list({"expand": ["data.customer", "data.payments"]}).data
    assert (row.id, row.customer.email, len(row.payments.data)) == (invoice, "office@clinic.example", 1)


@pytest.mark.parametrize("path", ["status", "frobs", "customer.a.b.c.d"])
def test_what_cannot_be_expanded_is_refused(client, path):
    invoice = open_invoice(client)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.retrieve(invoice, {"expand": [path]})


def test_events_are_filtered_by_type_and_time(standin, client):
    standin.dashboard.set_clock(1_000)
    open_invoice(client)
    standin.dashboard.set_clock(2_000)
    last = open_invoice(client)

    events = client.v1.events.list({"type": "invoice.finalized", "created": {"gte": 2_000}}).data
    assert [event.data.object.id for event in events] == [last]
    assert {event.type for event in client.v1.events.list({"type": "invoice.*", "limit": 100}).data} >= {
        "invoice.created",
        "invoice.finalized",
    }
    assert client.v1.events.retrieve(events[0].id).api_version == stripe.api_version


def test_events_older_than_thirty_days_are_not_listed(standin, client):
    standin.dashboard.set_clock(1_000)
    new_customer(client)
    standin.dashboard.advance_clock(30 * 86400)
    assert len(client.v1.events.list().data) == 1
    standin.dashboard.advance_clock(1)
    assert client.v1.events.list().data == []
