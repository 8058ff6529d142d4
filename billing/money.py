"""Money at the edges: integer cents inside, decimal text outside (product.md rule 11)."""

import re

CENTS_PER_UNIT = 100
# Stripe's largest amount is 99,999,999 minor units; nothing a clinic is charged comes near it.
LARGEST_AMOUNT_CENTS = 99_999_999

# ASCII digits only: no exponent, no sign, no digits of other scripts.
_AMOUNT = re.compile(r"(?P<units>[0-9]{1,9})(?:\.(?P<rest>[0-9]{1,2}))?")


class AmountMalformed(ValueError):
    """The text is not an amount: digits with at most two decimals, not negative, not above the largest amount."""


def to_text(cents: int) -> str:
    """Return cents as decimal text with two places: 8400 -> "84.00", -5 -> "-0.05"."""
    units, rest = divmod(abs(cents), CENTS_PER_UNIT)
    return f"{'-' if cents < 0 else ''}{units}.{rest:02d}"


def to_cents(text: str) -> int:
    """Return the cents of an amount written as decimal text; raise AmountMalformed."""
    written = _AMOUNT.fullmatch(text)
    if written is None:
        raise AmountMalformed("write an amount with at most two decimals, such as 125.00")
    cents = int(written["units"]) * CENTS_PER_UNIT + int((written["rest"] or "").ljust(2, "0"))
    if cents > LARGEST_AMOUNT_CENTS:
        raise AmountMalformed("an amount lies between 0.00 and 999999.99")
    return cents
