import copy
import json
import uuid

import pytest

from billing.stripe_gateway.inbound import InvoiceState, PaymentState, PaymentType
from billing.stripe_gateway.inbound_parsing import (
    parse_customer,
    parse_invoice,
    parse_invoice_item,
    parse_line,
    parse_page,
    parse_payment,
)
from billing.stripe_gateway.outbound_values import ApprovedProfile, CollectionMethod, Cycle, InvoiceKind, LineText
from billing.stripe_gateway.strict_fields import InboundMalformed
from tests.stripe_gateway.conftest import RECORDED

OWN = "0a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d"
_INVOICES = sorted(p.stem for p in RECORDED.glob("response.Invoice.*.json") if ".list." not in p.stem)
_CUSTOMERS = sorted(p.stem for p in RECORDED.glob("response.Customer.*.json"))
_ITEMS = sorted(p.stem for p in RECORDED.glob("response.InvoiceItem.*.json"))
_LISTS = sorted(p.stem for p in RECORDED.glob("response.Invoice.list.*.json"))


@pytest.mark.parametrize("name", _INVOICES)
def test_every_recorded_invoice_is_read(name, recorded):
    data = recorded(name)
    invoice = parse_invoice(data)
    assert invoice.status.value == data["status"]
    assert (invoice.total_cents, invoice.amount_due_cents) == (data["total"], data["amount_due"])
    assert invoice.finalized_at == data["status_transitions"]["finalized_at"]
    assert [line.quantity for line in invoice.lines] == [line["quantity"] for line in data["lines"]["data"]]
    assert not invoice.description_matches
    assert ("metadata" in invoice.foreign_fields) == bool(data["metadata"])


@pytest.mark.parametrize("name", _CUSTOMERS)
def test_every_recorded_customer_is_read(name, recorded):
    customer = parse_customer(recorded(name))
    assert (customer.deleted, customer.has_email, customer.own_office_id) == (False, True, None)


@pytest.mark.parametrize("name", _ITEMS)
def test_every_recorded_invoice_item_is_read(name, recorded):
    data = recorded(name)
    item = parse_invoice_item(data)
    assert (item.quantity, item.amount_cents) == (data["quantity"], data["amount"])
    assert item.quantity * item.unit_amount_cents == item.amount_cents


@pytest.mark.parametrize("name", _LISTS)
def test_every_recorded_list_is_read(name, recorded):
    data = recorded(name)
    page = parse_page(data, parse_invoice)
    assert (len(page.items), page.has_more) == (len(data["data"]), data["has_more"])


def test_the_recorded_payment_of_an_invoice_is_read(recorded):
    payment = parse_payment(recorded("event.invoice_payment.paid.na.paid.xlines")["data"]["object"])
    assert (payment.status, payment.type, payment.amount_paid_cents) == (
        PaymentState.PAID,
        PaymentType.PAYMENT_INTENT,
        10000,
    )
    assert payment.payment_intent_id.value == "pi_NORMALIZED"
    assert payment.charge_id is None


def _ours(recorded):
    """An invoice of ours in the shape of the pinned SDK: decimal quantities and expanded payments."""
    data = recorded("response.Invoice.pay.1")
    data["metadata"] = {"invoice_id": OWN, "cycle": "2026-03", "kind": "monthly"}
    data["description"] = "Monthly patient account services"
    data["statement_descriptor"] = None
    data["lines"]["data"][0] |= {"description": "Active patient accounts", "quantity_decimal": "25", "quantity": 25}
    payment = recorded("event.invoice_payment.paid.na.paid.xlines")["data"]["object"]
    data["payments"] = {"object": "list", "data": [payment], "has_more": False, "url": "/v1/invoice_payments"}
    return data


def test_an_invoice_of_ours_is_recognised_by_its_metadata(recorded):
    invoice = parse_invoice(_ours(recorded))
    assert (invoice.own_invoice_id, invoice.own_cycle, invoice.own_kind) == (
        uuid.UUID(OWN),
        Cycle("2026-03"),
        InvoiceKind.MONTHLY,
    )
    assert invoice.status is InvoiceState.PAID
    assert invoice.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY
    assert (invoice.description_matches, invoice.foreign_fields) == (True, ())
    line = invoice.lines[0]
    assert (line.text, line.quantity, line.unit_amount_cents) == (LineText.ACTIVE_PATIENT, 25, 4000)
    assert (invoice.payments_expanded, len(invoice.payments)) == (True, 1)


def test_payments_that_were_not_asked_for_are_told_from_none_at_all(recorded):
    data = _ours(recorded)
    data["payments"]["data"] = []
    assert (parse_invoice(data).payments_expanded, parse_invoice(data).payments) == (True, ())
    del data["payments"]
    assert parse_invoice(data).payments_expanded is False


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("description", "Jane Roe, 3 visits"),
        ("footer", "Jane Roe"),
        ("number", "Jane Roe 1970"),
        ("custom_fields", [{"name": "patient", "value": "Jane Roe"}]),
        ("statement_descriptor", "JANE ROE"),
        ("metadata", {"invoice_id": OWN, "patient": "Jane Roe"}),
        ("metadata", {"invoice_id": OWN, "kind": "Jane Roe"}),
        ("metadata", {"invoice_id": "Jane Roe"}),
        ("lines", "Jane Roe"),
    ],
)
def test_text_typed_at_stripe_is_named_by_place_and_never_kept(place, value, recorded):
    data = _ours(recorded)
    if place == "lines":
        data["lines"]["data"][0]["description"] = value
    else:
        data[place] = value
    invoice = parse_invoice(data)
    assert invoice.foreign_fields == (place,)
    assert "jane" not in repr(invoice).lower()


@pytest.mark.parametrize("value", ["Jane Roe", OWN.upper(), OWN.replace("-", ""), 7, None, ["x"]])
def test_edited_metadata_is_no_id_of_ours(value, recorded):
    data = _ours(recorded)
    data["metadata"]["invoice_id"] = value
    assert parse_invoice(data).own_invoice_id is None


_REQUIRED = [
    "object",
    "id",
    "customer",
    "status",
    "currency",
    "collection_method",
    "total",
    "amount_due",
    "amount_paid",
    "amount_remaining",
    "starting_balance",
    "attempted",
    "attempt_count",
    "auto_advance",
    "created",
    "status_transitions",
    "lines",
]
_BAD = [None, True, 1.0, float("nan"), "1", "Jane Roe", [], {}, -(10**16)]


@pytest.mark.parametrize("name", _REQUIRED)
def test_a_missing_or_mistyped_field_is_malformed_and_its_value_is_not_quoted(name, recorded):
    data = _ours(recorded)
    without = {key: value for key, value in data.items() if key != name}
    with pytest.raises(InboundMalformed):
        parse_invoice(without)
    for bad in _BAD:
        if type(bad) is type(data[name]) and name not in {"object", "id", "customer", "status", "currency", "lines"}:
            continue
        if (name == "lines" and bad == {}) or (name == "status_transitions" and bad == {}):
            continue
        with pytest.raises(InboundMalformed) as caught:
            parse_invoice({**data, name: bad})
        assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("total", [1.0, True, "984000", None, float("inf"), 10**20])
def test_amounts_are_whole_cents_and_nothing_else(total, recorded):
    with pytest.raises(InboundMalformed, match="total"):
        parse_invoice({**_ours(recorded), "total": total})


@pytest.mark.parametrize("data", [None, [], "x", 1, {}, {"object": "customer"}, {"object": "invoice"}])
def test_another_shape_is_malformed(data):
    for parse in (parse_invoice, parse_invoice_item, parse_payment, parse_line, parse_customer):
        with pytest.raises(InboundMalformed):
            parse(data)


def test_a_fraction_is_no_quantity_and_no_price(recorded):
    data = recorded("response.InvoiceItem.create.1")
    for text, whole in (("25", 25), ("25.000", 25), ("25.5", None), ("", None), ("1e2", None), (25.0, None)):
        assert parse_invoice_item({**data, "quantity_decimal": text}).quantity == whole
    data["pricing"]["unit_amount_decimal"] = "0.5"
    assert parse_invoice_item(data).unit_amount_cents is None


def test_a_deleted_customer_is_read(recorded):
    customer = parse_customer({"id": "cus_1", "object": "customer", "deleted": True})
    assert (customer.deleted, customer.balance_cents, customer.created) == (True, 0, None)


def test_the_profile_at_stripe_is_compared_without_being_kept(recorded):
    data = {**recorded("response.Customer.create.1"), "name": "Office 8F3K2Q", "email": "desk@clinic.example"}
    customer = parse_customer(data)
    assert customer.has_profile(ApprovedProfile("Office 8F3K2Q", "desk@clinic.example"))
    assert not customer.has_profile(ApprovedProfile("Office 8F3K2Q"))
    assert not customer.has_profile(ApprovedProfile("Office 8F3K2", "desk@clinic.example"))
    assert "clinic" not in repr(customer)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x", "https://x y", "https://x/é", "https://x\n", ""])
def test_a_hosted_link_is_a_web_address_or_the_reply_is_malformed(url, recorded):
    with pytest.raises(InboundMalformed, match="hosted_invoice_url"):
        parse_invoice({**_ours(recorded), "hosted_invoice_url": url})


@pytest.mark.parametrize(
    ("name", "value"), [("id", "cus_1"), ("id", "in_"), ("id", "in_a b"), ("customer", "in_1"), ("customer", {"id": 5})]
)
def test_an_id_of_another_kind_is_malformed(name, value, recorded):
    with pytest.raises(InboundMalformed, match=name):
        parse_invoice({**_ours(recorded), name: value})


def test_an_expanded_customer_counts_as_its_id(recorded):
    data = {**_ours(recorded), "customer": {"id": "cus_7", "object": "customer", "name": "Jane Roe"}}
    assert parse_invoice(data).customer_id.value == "cus_7"


@pytest.mark.parametrize("rows", [None, {}, "x", 1])
def test_a_list_without_rows_is_malformed(rows):
    with pytest.raises(InboundMalformed, match="data"):
        parse_page({"object": "list", "data": rows, "has_more": False}, parse_line)


def test_unknown_extra_fields_do_no_harm(recorded):
    data = _ours(recorded)
    more = copy.deepcopy(data) | {"new_in_2027": {"deep": [1]}}
    assert parse_invoice(more) == parse_invoice(data)


def test_the_recordings_are_what_stripe_really_said():
    assert len(_INVOICES) >= 18
    assert all(json.loads((RECORDED / f"{name}.json").read_text())["object"] == "invoice" for name in _INVOICES)
