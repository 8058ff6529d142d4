"""Cents inside, decimal text at the edges; and what a patient account costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import LARGEST_AMOUNT_CENTS, AmountMalformed, to_cents, to_text
from billing.pricing import PriceTerms, unit_price


@pytest.mark.parametrize(("cents", "text"), [(0, "0.00"), (5, "0.05"), (8400, "84.00"), (-5, "-0.05"), (-250, "-2.50")])
def test_cents_are_written_with_two_places(cents, text):
    assert to_text(cents) == text


@given(st.integers(0, LARGEST_AMOUNT_CENTS))
def test_an_amount_survives_the_way_out_and_in(cents):
    assert to_cents(to_text(cents)) == cents


@pytest.mark.parametrize(
    "text", ["", "abc", "1.005", "-1", "1e9", "NaN", "Infinity", "1000000.00", "1,50", "1e2", "١٢", "+1", " 1"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(AmountMalformed):
        to_cents(text)


def test_a_trial_costs_nothing_whatever_the_price():
    assert unit_price(PriceTerms(trialing=True, version_cents=200, override_cents=150)) == 0


def test_the_offices_own_price_beats_the_plans():
    assert unit_price(PriceTerms(trialing=False, version_cents=200, override_cents=150)) == 150
    assert unit_price(PriceTerms(trialing=False, version_cents=200, override_cents=0)) == 0
    assert unit_price(PriceTerms(trialing=False, version_cents=200)) == 200
