import dataclasses
import enum
import types
import typing
import uuid

import pytest

from billing.stripe_gateway import outbound, outbound_corrections, outbound_reads, outbound_values, policy
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound_values import (
    CATALOGUE,
    ApprovedProfile,
    Cents,
    CollectionMethod,
    Count,
    CreditReason,
    Currency,
    Cycle,
    InvoiceKind,
    LineText,
    OutboundValueInvalid,
    OwnId,
    StripeId,
    UnixTime,
)
from tests.stripe_gateway.samples import SAMPLES, request_classes

_VALUE_TYPES = {Count, Cents, Cycle, UnixTime, OwnId, StripeId, ApprovedProfile, outbound_reads.Window}


def _members(hint: object) -> set[object]:
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return {member for part in typing.get_args(hint) for member in _members(part)}
    return {hint}


def _is_allowed(hint: object) -> bool:
    return hint is type(None) or hint in _VALUE_TYPES or (isinstance(hint, type) and issubclass(hint, enum.Enum))


@pytest.mark.parametrize("request_class", list(request_classes()), ids=lambda c: c.__name__)
def test_every_request_is_frozen_and_made_of_typed_values_only(request_class):
    assert dataclasses.is_dataclass(request_class)
    assert request_class.__dataclass_params__.frozen
    assert all("__slots__" in vars(base) for base in request_class.__mro__[:-2])  # all but Generic and object
    hints = typing.get_type_hints(request_class)
    for name in (field.name for field in dataclasses.fields(request_class)):
        assert all(_is_allowed(member) for member in _members(hints[name])), name


def test_the_type_walk_itself_notices_free_text():
    for hint in (str, str | None, dict[str, str], typing.Any, list[str], bytes, object):
        assert not all(_is_allowed(member) for member in _members(hint))


def test_instances_cannot_grow_fields():
    with pytest.raises((AttributeError, TypeError, dataclasses.FrozenInstanceError)):
        outbound.PayInvoice(StripeId("in_1")).note = "x"


def test_every_operation_has_a_request_a_sample_and_a_policy_rule():
    from_samples = {one.request.encode().operation for one in SAMPLES}
    assert from_samples == set(Operation) == {rule.operation for rule in policy.RULES}
    assert {type(one.request) for one in SAMPLES} == set(request_classes())


def test_the_catalogue_is_exactly_what_the_policy_lets_out():
    assert set(policy.INVOICE_TEXTS.values()) | policy.LINE_TEXTS == CATALOGUE
    assert {text.description for text in LineText if text.may_be_credit} == policy.CREDIT_TEXTS
    assert dict(policy.INVOICE_TEXTS) == {kind.value: kind.description for kind in InvoiceKind}
    assert all(text.isascii() and text.isprintable() for text in CATALOGUE)


def test_an_adjustment_never_names_its_month():
    assert LineText.ADJUSTMENT.description == "Adjustment for earlier months"


def test_encoding_is_deterministic_and_uses_stripes_form_names():
    for one in SAMPLES:
        assert one.request.encode() == one.request.encode()
    monthly = next(s for s in SAMPLES if isinstance(s.request, outbound.CreateInvoice))
    assert monthly.request.encode().params == (
        ("customer", "cus_Q1"),
        ("auto_advance", "false"),
        ("pending_invoice_items_behavior", "exclude"),
        ("collection_method", "send_invoice"),
        ("days_until_due", "30"),
        ("currency", "usd"),
        ("description", "Monthly patient account services"),
        ("metadata[invoice_id]", "0a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d"),
        ("metadata[cycle]", "2026-03"),
        ("metadata[kind]", "monthly"),
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Count, -1),
        (Count, 1_000_001),
        (Count, True),
        (Count, "5"),
        (Count, 5.0),
        (Cents, 100_000_000),
        (Cents, -100_000_000),
        (Cents, False),
        (Cycle, "2026-13"),
        (Cycle, "2026-3"),
        (Cycle, "2026-03\n"),
        (Cycle, "٢٠٢٦-03"),
        (UnixTime, 1),
        (UnixTime, 10**11),
        (OwnId, "0a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d"),
        (OwnId, uuid.uuid5(uuid.NAMESPACE_DNS, "Jane Roe 1970-01-01")),
        (OwnId, uuid.uuid1()),
        (StripeId, "Jane Roe"),
        (StripeId, "cus_"),
        (StripeId, "cus_a b"),
        (StripeId, "cus_1\n"),
        (StripeId, "cus_" + "a" * 65),
        (StripeId, "pm_1"),
        (ApprovedProfile, ""),
        (ApprovedProfile, " leading"),
        (ApprovedProfile, "Clínica"),
        (ApprovedProfile, "two\nlines"),
        (ApprovedProfile, "n" * 101),
    ],
)
def test_a_value_outside_its_type_is_refused_without_being_quoted(kind, value):
    with pytest.raises(OutboundValueInvalid) as caught:
        kind(value)
    assert str(value) not in str(caught.value) or str(value) == ""


@pytest.mark.parametrize("email", ["a@b", "a b@c.example", "é@c.example", "a@@c.example", "@c.example", "a@.example"])
def test_a_malformed_email_is_refused(email):
    with pytest.raises(OutboundValueInvalid):
        ApprovedProfile("Office 1", email)


def test_values_that_contradict_each_other_make_no_request():
    good = next(s.request for s in SAMPLES if isinstance(s.request, outbound.CreateInvoice))
    for change in (
        {"cycle": None},
        {"kind": InvoiceKind.SETUP_FEE},
        {"days_until_due": None},
        {"collection_method": CollectionMethod.CHARGE_AUTOMATICALLY},
    ):
        with pytest.raises(OutboundValueInvalid):
            dataclasses.replace(good, **change)


def test_only_discounts_and_adjustments_may_be_credits():
    for text in LineText:
        arguments = (StripeId("cus_1"), StripeId("in_1"), text, Count(1), Cents(-1), Currency.USD)
        if text in {LineText.DISCOUNT, LineText.ADJUSTMENT}:
            assert ("unit_amount_decimal", "-1") in outbound.CreateInvoiceItem(*arguments).encode().params
        else:
            with pytest.raises(OutboundValueInvalid):
                outbound.CreateInvoiceItem(*arguments)


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        (0, {}),
        (-400, {}),
        (400, {"refund": Cents(399)}),
        (400, {"out_of_band": Cents(401)}),
        (400, {"refund": Cents(400), "out_of_band": Cents(400)}),
    ],
)
def test_a_credit_note_gives_back_its_whole_amount_in_one_way_or_is_none(amount, parts):
    with pytest.raises(OutboundValueInvalid):
        outbound_corrections.CreateCreditNote(
            StripeId("in_1"), OwnId(uuid.uuid4()), Cents(amount), CreditReason.DUPLICATE, **parts
        )


def test_a_window_that_ends_before_it_begins_is_none():
    with pytest.raises(OutboundValueInvalid):
        outbound_reads.Window(UnixTime(1_700_000_000), UnixTime(1_700_000_000))


def test_an_id_of_another_kind_does_not_fit_a_path():
    for request in (
        outbound.PayInvoice(StripeId("cus_1")),
        outbound.RetrieveCustomer(StripeId("in_1")),
        outbound_corrections.MarkUncollectible(StripeId("pi_1")),
        outbound_reads.RetrieveCharge(StripeId("re_1")),
        outbound_reads.ListRefunds(StripeId("in_1")),
        outbound_reads.ListCreditNotes(StripeId("pi_1")),
    ):
        with pytest.raises(OutboundValueInvalid):
            request.encode()


def test_item_types_are_those_of_the_ledger():
    assert {text.value for text in outbound_values.LineText} == {
        "patient_activation",
        "active_patient",
        "setup_fee",
        "one_off",
        "base_fee",
        "minimum",
        "discount",
        "adjustment",
    }
