"""Money at the edges: integer cents inside, decimal text outside (product.md rule 11)."""

from decimal import Decimal, InvalidOperation

CENTS_PER_UNIT = 100
# Stripe's largest amount is 99,999,999 minor units; nothing a clinic is charged comes near it.
LARGEST_AMOUNT_CENTS = 99_999_999


class AmountMalformed(ValueError):
    """The text is not an amount: digits with at most two decimals, not negative, not above the largest amount."""


def to_text(cents: int) -> str:
    """Return cents as decimal text with two places: 8400 -> "84.00", -5 -> "-0.05"."""
    units, rest = divmod(abs(cents), CENTS_PER_UNIT)
    return f"{'-' if cents < 0 else ''}{units}.{rest:02d}"


def to_cents(text: str) -> int:
    """Return the cents of an amount written as decimal text; raise AmountMalformed."""
    try:
        cents = Decimal(text) * CENTS_PER_UNIT
    except (InvalidOperation, ValueError):
        raise AmountMalformed("write an amount such as 125.00") from None
    if not cents.is_finite() or cents != cents.to_integral_value():
        raise AmountMalformed("an amount has at most two decimals")
    if not 0 <= cents <= LARGEST_AMOUNT_CENTS:
        raise AmountMalformed("an amount lies between 0.00 and 999999.99")
    return int(cents)
