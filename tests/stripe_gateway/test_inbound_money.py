"""Money that moved at Stripe: read from the recorded shapes, refused in any other, never with a cardholder in it."""

import copy
import dataclasses
import traceback
from typing import Any

import pytest

from billing.stripe_gateway.inbound_money import DisputeState, IntentState, RefundState
from billing.stripe_gateway.inbound_money_parsing import (
    parse_charge,
    parse_credit_note,
    parse_dispute,
    parse_event,
    parse_payment_intent,
    parse_refund,
)
from billing.stripe_gateway.inbound_parsing import parse_invoice, parse_list
from billing.stripe_gateway.strict_fields import InboundMalformed
from tests.stripe_gateway.conftest import RECORDED

CHARGE_LISTS = sorted(path.stem for path in RECORDED.glob("response.Charge.list.*.json"))
INTENTS = sorted(path.stem for path in RECORDED.glob("event.payment_intent.*.json"))
EVENTS = sorted(path.stem for path in RECORDED.glob("event.*.json"))
MARKER = "Zweistein, Amelie"
OWN = "0a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d"

CHARGE = {
    "object": "charge", "id": "ch_1A", "payment_intent": "pi_1A", "amount": 400, "amount_refunded": 100,
    "currency": "usd", "billing_details": {"name": MARKER, "email": MARKER}, "receipt_email": MARKER,
    "description": MARKER, "metadata": {MARKER: MARKER}, "outcome": {"seller_message": MARKER},
}  # fmt: skip
INTENT = {
    "object": "payment_intent", "id": "pi_1A", "status": "processing", "amount": 400, "currency": "usd",
    "latest_charge": "py_1A", "receipt_email": MARKER, "description": MARKER, "shipping": {"name": MARKER},
    "last_payment_error": {"payment_method": {"billing_details": {"name": MARKER}}},
}  # fmt: skip
REFUND = {
    "object": "refund", "id": "re_1A", "status": "pending", "amount": 100, "currency": "usd", "charge": "ch_1A",
    "payment_intent": "pi_1A", "created": 1_790_000_000, "reason": MARKER, "instructions_email": MARKER,
}  # fmt: skip
DISPUTE = {
    "object": "dispute", "id": "du_1A", "status": "needs_response", "amount": 400, "currency": "usd",
    "charge": "ch_1A", "payment_intent": None, "created": 1_790_000_000, "reason": MARKER,
    "evidence": {"customer_name": MARKER, "uncategorized_text": MARKER},
}  # fmt: skip
NOTE = {
    "object": "credit_note", "id": "cn_1A", "invoice": "in_1A", "status": "issued", "amount": 400, "currency": "usd",
    "pre_payment_amount": 400, "post_payment_amount": 0, "out_of_band_amount": None, "created": 1_790_000_000,
    "memo": MARKER, "metadata": {"credit_note_id": OWN}, "lines": {"data": [{"description": MARKER}]},
}  # fmt: skip
EVENT = {
    "object": "event", "id": "evt_1A", "type": "invoice.paid", "created": 1_790_000_000, "livemode": False,
    "api_version": "2026-10-28.endive", "account": MARKER,
    "data": {"object": {"object": "invoice", "id": "in_1A", "customer_name": MARKER}},
}  # fmt: skip
KINDS = {
    "charge": (CHARGE, parse_charge),
    "payment_intent": (INTENT, parse_payment_intent),
    "refund": (REFUND, parse_refund),
    "dispute": (DISPUTE, parse_dispute),
    "credit_note": (NOTE, parse_credit_note),
    "event": (EVENT, parse_event),
}
READ = {
    "charge": ("id", "payment_intent", "amount", "amount_refunded", "currency"),
    "payment_intent": ("id", "amount", "currency", "latest_charge"),
    "refund": ("id", "status", "amount", "currency", "charge", "payment_intent", "created"),
    "dispute": ("id", "status", "amount", "currency", "charge", "payment_intent", "created"),
    "credit_note": (
        "id", "invoice", "status", "amount", "currency", "pre_payment_amount", "post_payment_amount",
        "out_of_band_amount", "created", "metadata",
    ),
    "event": ("id", "type", "created", "livemode", "api_version", "data"),
}  # fmt: skip
# What Stripe leaves out or writes as null; everything else must be there.
OPTIONAL = {"payment_intent", "charge", "latest_charge", "out_of_band_amount", "metadata", "api_version"}
WRONG = (MARKER, "", 1.5, True, [], [MARKER], {}, {"id": MARKER}, {MARKER: 1}, 10**30, "cus_1A", "in_é", b"ch_1A")


def outcome(parse, data: object) -> str:
    """Return all that is left of an object: what was read of it, or everything that its exception tells."""
    try:
        return repr(parse(data))
    except InboundMalformed as malformed:
        return "".join(traceback.format_exception(malformed)) + repr(malformed.args)


# --- The recorded shapes ---
@pytest.mark.parametrize("name", CHARGE_LISTS)
def test_every_recorded_charge_is_read(name, recorded):
    data = recorded(name)
    page = parse_list(data, parse_charge)

    assert (len(page.items), page.unreadable, page.has_more) == (len(data["data"]), (), data["has_more"])
    for charge, row in zip(page.items, data["data"], strict=True):
        assert (charge.amount_cents, charge.refunded_cents) == (row["amount"], row["amount_refunded"])
        assert str(charge.payment_intent_id) == row["payment_intent"]


@pytest.mark.parametrize("name", INTENTS)
def test_every_recorded_payment_intent_is_read(name, recorded):
    data = recorded(name)["data"]["object"]
    data["latest_charge"] = data["latest_charge"] and "ch_NORMALIZED"  # ids were replaced by names of files
    intent = parse_payment_intent(data)
    assert (intent.status.value, intent.amount_cents) == (data["status"], data["amount"])


@pytest.mark.parametrize("name", EVENTS)
def test_every_recorded_event_is_reduced_to_its_envelope(name, recorded):
    data = recorded(name)
    data["id"] = "evt_1Recorded"
    envelope = parse_event(data)
    assert (envelope.type, envelope.created, envelope.api_version) == (
        data["type"],
        data["created"],
        data["api_version"],
    )
    assert envelope.object_type == data["data"]["object"]["object"]


def test_the_recorded_cardholder_is_not_kept(recorded):
    kept = repr([parse_list(recorded(name), parse_charge) for name in CHARGE_LISTS])
    for word in ("John Doe", "123 Main St", "hamlet@zulip.com", "4242", "San Francisco", "Zulip"):
        assert word not in kept


# --- The values ---
def test_each_kind_is_read_as_it_stands():
    assert parse_charge(CHARGE).refunded_cents == 100
    assert (parse_payment_intent(INTENT).status, str(parse_payment_intent(INTENT).charge_id)) == (
        IntentState.PROCESSING,
        "py_1A",
    )
    assert parse_refund(REFUND).status is RefundState.PENDING
    assert (parse_dispute(DISPUTE).status, parse_dispute(DISPUTE).payment_intent_id) == (
        DisputeState.NEEDS_RESPONSE,
        None,
    )
    note = parse_credit_note(NOTE)
    assert (str(note.own_credit_note_id), note.has_foreign_text, note.out_of_band_cents) == (OWN, True, 0)


def test_an_expanded_object_counts_as_its_id():
    assert str(parse_refund(REFUND | {"charge": CHARGE, "payment_intent": INTENT}).charge_id) == "ch_1A"


def test_a_state_of_an_intent_that_comes_later_is_other():
    assert parse_payment_intent(INTENT | {"status": "requires_reauthorization"}).status is IntentState.OTHER


@pytest.mark.parametrize("kind", ["refund", "dispute", "credit_note"])
def test_a_state_of_money_that_goes_back_is_never_guessed(kind):
    data, parse = KINDS[kind]
    with pytest.raises(InboundMalformed, match="status"):
        parse(data | {"status": "partly"})


def test_our_own_credit_note_has_no_foreign_text():
    plain = NOTE | {"memo": None}
    assert not parse_credit_note(plain).has_foreign_text
    assert parse_credit_note(plain | {"metadata": {"credit_note_id": OWN, "x": "y"}}).has_foreign_text
    assert parse_credit_note(plain | {"metadata": {"credit_note_id": MARKER}}).has_foreign_text
    assert parse_credit_note(plain | {"metadata": {}}).own_credit_note_id is None


# --- Hostile ---
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_a_person_is_kept(kind):
    data, parse = KINDS[kind]
    assert MARKER in repr(data)
    assert MARKER not in repr(parse(data))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in READ.items() for name in names])
def test_a_field_of_another_type_is_malformed_and_not_quoted(kind, name):
    data, parse = KINDS[kind]
    told = [outcome(parse, data | {name: value}) for value in WRONG]

    assert MARKER not in "".join(told)
    # At most the one value that is of the right type, and what may be empty, are read.
    assert sum("InboundMalformed" in each for each in told) >= len(WRONG) - (5 if name in OPTIONAL else 1)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in READ.items() for name in names])
def test_a_field_may_be_missing_only_where_stripe_leaves_it_out(kind, name):
    data, parse = KINDS[kind]
    less = {key: value for key, value in data.items() if key != name}
    if name in OPTIONAL:
        assert dataclasses.is_dataclass(parse(less))
    else:
        with pytest.raises(InboundMalformed):
            parse(less)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", [None, [], "x", 5, {}, {"object": "balance"}, {"object": {"object": "charge"}}])
def test_what_is_another_object_is_malformed(kind, odd):
    with pytest.raises(InboundMalformed):
        KINDS[kind][1](odd)


# --- Lists: one odd object does not hide the others ---
def listed(*rows: Any, **fields: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(rows), "has_more": False, "url": "/v1/charges"} | fields


def test_an_odd_object_is_set_apart_and_named_without_its_words():
    odd = CHARGE | {"id": "ch_2B", "currency": MARKER, "metadata": {"invoice_id": OWN}}
    page = parse_list(listed(CHARGE, odd, CHARGE | {"id": "ch_3C"}), parse_charge)

    assert [str(charge.id) for charge in page.items] == ["ch_1A", "ch_3C"]
    (apart,) = page.unreadable
    assert (str(apart.id), apart.field, str(apart.own_id)) == ("ch_2B", "currency", OWN)
    assert MARKER not in repr(page)


@pytest.mark.parametrize("metadata", [None, [], MARKER, {}, {"invoice_id": MARKER}, {"invoice_id": 5}])
def test_an_odd_object_without_our_metadata_is_nobodys(metadata):
    page = parse_list(listed(CHARGE | {"amount": None, "metadata": metadata}), parse_charge)
    assert page.unreadable[0].own_id is None


def test_the_next_page_follows_the_last_object_even_an_odd_one():
    page = parse_list(listed(CHARGE, CHARGE | {"id": "ch_9Z", "amount": "x"}, has_more=True), parse_charge)
    assert str(page.next_after) == "ch_9Z"
    assert parse_list(listed(CHARGE), parse_charge).next_after is None
    assert parse_list(listed(has_more=True), parse_charge).next_after is None


@pytest.mark.parametrize(
    "broken",
    [
        None, [], {}, listed(object="charge"), listed(data=None), listed(data={"0": CHARGE}), listed(has_more="no"),
        listed(has_more=None), listed(MARKER), listed([CHARGE]), listed(CHARGE, {"object": "charge"}),
        listed(CHARGE, CHARGE | {"id": MARKER}), listed(CHARGE, CHARGE | {"id": None}),
    ],
)  # fmt: skip
def test_what_is_no_list_of_objects_with_ids_is_malformed_and_not_quoted(broken):
    with pytest.raises(InboundMalformed) as malformed:
        parse_list(broken, parse_charge)
    assert MARKER not in str(malformed.value)


def test_the_recorded_lists_of_invoices_are_read_object_by_object(recorded):
    data = recorded("response.Invoice.list.3")
    odd = copy.deepcopy(data["data"][0]) | {"currency": "eur", "customer_name": MARKER}
    page = parse_list(data | {"data": [*data["data"], odd]}, parse_invoice)

    assert (len(page.items), len(page.unreadable)) == (len(data["data"]), 1)
    assert page.unreadable[0].field == "currency"
    assert MARKER not in repr(page)
