"""Money at the stand-in: payments, refunds, disputes and credit notes, read back through the real SDK."""

from collections.abc import Iterator

import pytest
import stripe

from sandbox.stripe_standin import StripeStandIn
from tests.sandbox.standin_client import client_of, open_invoice


@pytest.fixture
def standin() -> Iterator[StripeStandIn]:
    with StripeStandIn() as running:
        yield running


@pytest.fixture
def client(standin: StripeStandIn) -> stripe.StripeClient:
    return client_of(standin)


@pytest.fixture
def invoice(standin: StripeStandIn, client: stripe.StripeClient) -> str:
    """A paid invoice over 84.00."""
    paid = open_invoice(client)
    standin.dashboard.pay_invoice(paid)
    return paid


def test_payments_hang_on_the_invoice_only_when_expanded(client, invoice):
    assert "payments" not in client.v1.invoices.retrieve(invoice).to_dict()
    expanded = client.v1.invoices.retrieve(invoice, {"expand": ["payments"]})
    assert [(payment.status, payment.amount_paid) for payment in expanded.payments.data] == [("paid", 8400)]


def test_a_payment_leads_to_its_intent_and_charge(client, invoice):
    (payment,) = client.v1.invoice_payments.list({"invoice": invoice}).data
    intent = client.v1.payment_intents.retrieve(payment.payment.payment_intent, {"expand": ["latest_charge"]})
    assert (intent.status, intent.latest_charge.amount, intent.latest_charge.paid) == ("succeeded", 8400, True)


def test_payments_are_found_by_their_intent(standin, client, invoice):
    standin.dashboard.pay_invoice(open_invoice(client))
    wanted = client.v1.invoice_payments.list({"invoice": invoice}).data[0]
    by_intent = {"type": "payment_intent", "payment_intent": wanted.payment.payment_intent}
    assert [row.id for row in client.v1.invoice_payments.list({"payment": by_intent}).data] == [wanted.id]


def test_a_part_payment_leaves_the_rest_open(standin, client):
    invoice = open_invoice(client)
    standin.dashboard.pay_invoice(invoice, amount=400)
    part = client.v1.invoices.retrieve(invoice)
    assert (part.status, part.amount_paid, part.amount_remaining) == ("open", 400, 8000)
    standin.dashboard.pay_invoice(invoice)
    assert client.v1.invoices.retrieve(invoice).status == "paid"
    assert sum(charge["amount"] for charge in standin.objects("charge")) == 8400


def test_too_much_money_is_shown_as_overpaid(standin, client):
    invoice = open_invoice(client)
    standin.dashboard.pay_invoice(invoice, amount=9000)
    paid = client.v1.invoices.retrieve(invoice)
    assert (paid.status, paid.amount_paid, paid.amount_overpaid) == ("paid", 8400, 600)
    assert "invoice.overpaid" in [event["type"] for event in standin.objects("event")]


def test_refunds_add_up_and_stop_at_the_charge(standin, client, invoice):
    standin.dashboard.refund(invoice, amount=400)
    charge = client.v1.charges.list().data[0]
    assert (charge.amount_refunded, charge.refunded) == (400, False)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"charge": charge.id, "amount": 8001})
    client.v1.refunds.create({"payment_intent": charge.payment_intent})
    assert client.v1.charges.retrieve(charge.id).refunded is True
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    assert [refund.amount for refund in client.v1.refunds.list({"charge": charge.id}).data] == [8000, 400]


def test_a_failed_refund_gives_the_money_back_to_us(standin, client, invoice):
    refund = standin.dashboard.refund(invoice)
    standin.dashboard.fail_refund(refund["id"])
    assert client.v1.refunds.retrieve(refund["id"]).status == "failed"
    assert client.v1.charges.retrieve(refund["charge"]).amount_refunded == 0
    assert "refund.failed" in [event["type"] for event in standin.objects("event")]


@pytest.mark.parametrize(("won", "status"), [(True, "won"), (False, "lost")])
def test_a_dispute_is_opened_and_decided(standin, client, invoice, won, status):
    dispute = standin.dashboard.dispute(invoice)
    assert client.v1.charges.retrieve(dispute["charge"]).disputed is True
    standin.dashboard.close_dispute(dispute["id"], won=won)
    assert client.v1.disputes.retrieve(dispute["id"]).status == status
    types = [event["type"] for event in standin.objects("event")]
    assert types.index("charge.dispute.created") < types.index("charge.dispute.closed")


def test_a_credit_note_lowers_an_open_invoice(client):
    invoice = open_invoice(client)
    note = client.v1.credit_notes.create({"invoice": invoice, "amount": 400})
    assert (note.type, client.v1.invoices.retrieve(invoice).amount_remaining) == ("pre_payment", 8000)
    client.v1.credit_notes.void_credit_note(note.id)
    assert client.v1.invoices.retrieve(invoice).amount_remaining == 8400


def test_a_credit_note_over_the_whole_pays_an_open_invoice(client):
    invoice = open_invoice(client)
    client.v1.credit_notes.create({"invoice": invoice, "amount": 8400})
    assert client.v1.invoices.retrieve(invoice).status == "paid"


def test_a_credit_note_on_a_paid_invoice_says_where_the_money_goes(client, invoice):
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        client.v1.credit_notes.create({"invoice": invoice, "amount": 400, "refund_amount": 100})
    client.v1.credit_notes.create({"invoice": invoice, "amount": 400, "refund_amount": 400})
    client.v1.credit_notes.create({"invoice": invoice, "amount": 500, "out_of_band_amount": 500})
    credited = client.v1.invoices.retrieve(invoice)
    assert credited.post_payment_credit_notes_amount == 900
    assert client.v1.charges.list({"customer": credited.customer}).data[0].amount_refunded == 400
    assert len(client.v1.credit_notes.list({"invoice": invoice}).data) == 2


def test_a_credit_note_never_exceeds_what_was_paid(client, invoice):
    with pytest.raises(stripe.InvalidRequestError, match="at most"):
        client.v1.credit_notes.create({"invoice": invoice, "amount": 8401, "out_of_band_amount": 8401})
