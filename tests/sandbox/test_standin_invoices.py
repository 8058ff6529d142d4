"""An invoice's life at the stand-in, driven by the real SDK over HTTP."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
import stripe

from sandbox.stripe_standin import StripeStandIn
from tests.sandbox.standin_client import (
    add_item,
    charged_invoice,
    client_of,
    invoice_params,
    new_customer,
    new_draft,
    open_invoice,
)


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


def event_types(standin: StripeStandIn) -> list[str]:
    return [event["type"] for event in standin.objects("event")]


def test_three_writes_make_an_open_invoice_with_an_exact_total(standin, client):
    customer = new_customer(client)
    standin.forget_requests()
    draft = client.v1.invoices.create(invoice_params(customer))
    item = add_item(client, draft.id, 42, "200")
    final = client.v1.invoices.finalize_invoice(draft.id, {"auto_advance": True})

    assert (draft.status, draft.total, draft.metadata.to_dict()) == ("draft", 0, {"invoice": "7f0c"})
    assert (item.amount, item.quantity, item.quantity_decimal) == (8400, 42, Decimal(42))
    assert (final.status, final.total, final.amount_remaining, final.number[-5:]) == ("open", 8400, 8400, "-0001")
    assert final.lines.data[0].pricing.unit_amount_decimal == Decimal(200)
    assert final.hosted_invoice_url.startswith(standin.base_url)
    assert standin.writes() == 3


def test_add_lines_prices_all_lines_in_one_call(client):
    invoice = new_draft(client, count=0)
    price = {"currency": "usd", "unit_amount_decimal": Decimal("200"), "product_data": {"name": "Patient account"}}
    lines = [
        {"description": "Active patient accounts", "quantity_decimal": Decimal(41), "price_data": price},
        {"description": "New patient accounts", "quantity_decimal": Decimal(2), "price_data": price},
    ]
    assert client.v1.invoices.add_lines(invoice, {"lines": lines}).total == 8600
    assert [line.amount for line in client.v1.invoices.line_items.list(invoice)] == [8200, 400]


def test_add_lines_wants_a_product_that_exists(client):
    invoice = new_draft(client, count=0)
    price = {"currency": "usd", "unit_amount_decimal": Decimal("200"), "product": "prod_unknown"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.add_lines(invoice, {"lines": [{"price_data": price}]})
    assert refused.value.code == "resource_missing"
    price["product"] = client.v1.products.create({"name": "Patient account"}).id
    assert client.v1.invoices.add_lines(invoice, {"lines": [{"price_data": price}]}).total == 200


@pytest.mark.parametrize(("count", "cents", "total"), [(3, "0.5", 2), (1, "0.4", 0), (3, "33.3333", 100)])
def test_fractions_of_a_cent_are_rounded_half_up_once_per_item(client, count, cents, total):
    assert add_item(client, new_draft(client, count=0), count, cents).amount == total


def test_the_two_hundred_and_fifty_first_item_is_refused(client):
    invoice = new_draft(client, count=0)
    client.v1.invoices.add_lines(invoice, {"lines": [{"amount": 1} for _ in range(250)]})
    with pytest.raises(stripe.InvalidRequestError, match="at most 250"):
        add_item(client, invoice)
    assert client.v1.invoices.retrieve(invoice).total == 250


def test_an_item_of_another_currency_is_refused(client):
    invoice = new_draft(client)
    params = {"invoice": invoice, "amount": 100, "currency": "eur"}
    with pytest.raises(stripe.InvalidRequestError, match="must match"):
        client.v1.invoice_items.create(params)


def test_a_pending_item_is_swept_in_only_when_asked(client):
    customer = new_customer(client)
    client.v1.invoice_items.create({"customer": customer, "amount": 700, "currency": "usd"})
    assert client.v1.invoices.create(invoice_params(customer)).total == 0
    swept = client.v1.invoices.create(invoice_params(customer, pending_invoice_items_behavior="include"))
    assert swept.total == 700
    assert not client.v1.invoice_items.list({"customer": customer, "pending": True}).data


def test_deleting_an_item_lowers_the_draft(client):
    invoice = new_draft(client)
    item = add_item(client, invoice, 1)
    client.v1.invoice_items.delete(item.id)
    assert client.v1.invoices.retrieve(invoice).total == 8400


@pytest.mark.parametrize(
    "act",
    [
        add_item,
        lambda client, invoice: client.v1.invoices.add_lines(invoice, {"lines": [{"amount": 1}]}),
        lambda client, invoice: client.v1.invoices.finalize_invoice(invoice),
        lambda client, invoice: client.v1.invoices.delete(invoice),
        lambda client, invoice: client.v1.invoices.update(invoice, {"collection_method": "charge_automatically"}),
    ],
    ids=["item", "add_lines", "finalize", "delete", "update"],
)
def test_what_belongs_to_drafts_is_refused_once_the_invoice_is_open(client, act):
    invoice = open_invoice(client)
    before = client.v1.invoices.retrieve(invoice).to_dict()
    with pytest.raises(stripe.InvalidRequestError):
        act(client, invoice)
    assert client.v1.invoices.retrieve(invoice).to_dict() == before


@pytest.mark.parametrize("act", ["pay", "void_invoice", "mark_uncollectible"])
def test_a_paid_invoice_is_an_end(standin, client, act):
    invoice = open_invoice(client)
    standin.dashboard.pay_invoice(invoice)
    with pytest.raises(stripe.InvalidRequestError):
        getattr(client.v1.invoices, act)(invoice)
    assert client.v1.invoices.retrieve(invoice).status == "paid"


def test_a_draft_cannot_be_voided_but_deleted(client):
    invoice = new_draft(client)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.void_invoice(invoice)
    assert client.v1.invoices.delete(invoice).deleted is True
    with pytest.raises(stripe.InvalidRequestError) as gone:
        client.v1.invoices.retrieve(invoice)
    assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")


def test_voiding_cancels_the_open_payment(standin, client):
    invoice = open_invoice(client)
    assert client.v1.invoices.void_invoice(invoice).status == "void"
    assert [payment["status"] for payment in standin.objects("invoice_payment")] == ["canceled"]
    assert event_types(standin)[-1] == "invoice.voided"


def test_an_uncollectible_invoice_can_still_be_paid(standin, client):
    invoice = open_invoice(client)
    assert client.v1.invoices.mark_uncollectible(invoice).status == "uncollectible"
    standin.dashboard.pay_invoice(invoice)
    assert client.v1.invoices.retrieve(invoice).status == "paid"


def test_a_total_of_zero_is_paid_at_finalization_without_a_payment(standin, client):
    final = client.v1.invoices.finalize_invoice(new_draft(client, count=0))
    assert (final.status, final.total, standin.objects("payment_intent")) == ("paid", 0, [])


def test_a_total_below_the_minimum_moves_to_the_customers_balance(client):
    small = client.v1.invoices.finalize_invoice(new_draft(client, count=1, cents="49"))
    assert (small.status, small.total, small.amount_due, small.ending_balance) == ("paid", 49, 0, 49)
    assert client.v1.customers.retrieve(small.customer).balance == 49
    following = client.v1.invoices.create(invoice_params(small.customer))
    add_item(client, following.id, 1)
    following = client.v1.invoices.finalize_invoice(following.id)
    assert (following.total, following.starting_balance, following.amount_due) == (200, 49, 249)


def test_the_smallest_charge_stays_open(client):
    assert client.v1.invoices.finalize_invoice(new_draft(client, count=1, cents="50")).status == "open"


def test_an_invoice_to_be_sent_needs_the_customers_email_at_creation(client):
    customer = client.v1.customers.create({"name": "Office"}).id
    with pytest.raises(stripe.InvalidRequestError, match="Missing email"):
        client.v1.invoices.create(invoice_params(customer))


def test_an_invoice_to_be_sent_needs_the_customers_email_at_finalization(standin, client):
    invoice = new_draft(client)
    standin.dashboard.edit("customer", client.v1.invoices.retrieve(invoice).customer, email=None)
    with pytest.raises(stripe.InvalidRequestError, match="Missing email"):
        client.v1.invoices.finalize_invoice(invoice)
    assert client.v1.invoices.retrieve(invoice).status == "draft"


def test_an_invoice_to_be_sent_needs_a_due_date(client):
    params = invoice_params(new_customer(client))
    del params["days_until_due"]
    with pytest.raises(stripe.InvalidRequestError, match="days_until_due"):
        client.v1.invoices.create(params)


def test_the_due_date_counts_from_the_stand_ins_clock(standin, client):
    standin.dashboard.set_clock(1_800_000_000)
    invoice = client.v1.invoices.retrieve(new_draft(client))
    assert (invoice.created, invoice.due_date) == (1_800_000_000, 1_800_000_000 + 30 * 86400)


def test_a_good_card_is_charged_at_finalization(standin, client):
    final = client.v1.invoices.finalize_invoice(charged_invoice(client), {"auto_advance": True})
    assert (final.status, final.amount_paid, final.attempt_count) == ("paid", 8400, 1)
    assert "invoice.payment_succeeded" in event_types(standin)


def test_without_auto_advance_nothing_is_charged(client):
    assert client.v1.invoices.finalize_invoice(charged_invoice(client), {"auto_advance": False}).status == "open"


def test_a_declined_card_leaves_the_invoice_open(standin, client):
    standin.dashboard.set_card("declined")
    final = client.v1.invoices.finalize_invoice(charged_invoice(client), {"auto_advance": True})
    assert (final.status, final.attempted, final.attempt_count) == ("open", True, 1)
    assert event_types(standin)[-1] == "invoice.payment_failed"


def test_paying_with_a_declined_card_is_a_402_with_the_intent_inside(standin, client):
    invoice = charged_invoice(client)
    client.v1.invoices.finalize_invoice(invoice, {"auto_advance": False})
    standin.dashboard.set_card("declined", client.v1.invoices.retrieve(invoice).customer)
    with pytest.raises(stripe.CardError) as declined:
        client.v1.invoices.pay(invoice)
    assert declined.value.code == "card_declined"
    assert declined.value.json_body["error"]["payment_intent"]["status"] == "requires_payment_method"
    assert client.v1.invoices.retrieve(invoice).attempt_count == 1


def test_a_bank_debit_is_processing_until_the_bank_decides(standin, client):
    standin.dashboard.set_card("processing")
    invoice = charged_invoice(client)
    assert client.v1.invoices.finalize_invoice(invoice, {"auto_advance": True}).status == "open"
    payment = client.v1.invoice_payments.list({"invoice": invoice}).data[0]
    assert client.v1.payment_intents.retrieve(payment.payment.payment_intent).status == "processing"
    standin.dashboard.pay_invoice(invoice)
    assert client.v1.invoices.retrieve(invoice).status == "paid"


def test_money_from_elsewhere_pays_without_a_charge(standin, client):
    invoice = open_invoice(client)
    assert client.v1.invoices.pay(invoice, {"paid_out_of_band": True}).status == "paid"
    assert standin.objects("charge") == []


def test_a_draft_with_auto_advance_finalizes_itself_after_an_hour(standin, client):
    standin.dashboard.set_clock(1_800_000_000)
    invoice = new_draft(client, auto_advance=True)
    assert standin.dashboard.advance_clock(3599) == []
    assert [done["id"] for done in standin.dashboard.advance_clock(1)] == [invoice]
    assert client.v1.invoices.retrieve(invoice).status == "open"


def test_an_invoice_cannot_be_made_for_a_deleted_customer(client):
    customer = new_customer(client)
    client.v1.customers.delete(customer)
    assert client.v1.customers.retrieve(customer).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.invoices.create(invoice_params(customer))
