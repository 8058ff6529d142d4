"""What usage costs: pure arithmetic on the terms of a cycle (product.md rule 10).

Plan parameters beyond the price per patient (base fee, included patients, minimum, tiers, discount) turn a count of
charges into more charges; they will take their place here, next to the unit price.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What decides the price of a patient account in a cycle. Cents."""

    trialing: bool
    version_cents: int
    override_cents: int | None = None


def unit_price(terms: PriceTerms) -> int:
    """Return the cents of one patient account: nothing in a trial, else the office's own price, else the plan's."""
    if terms.trialing:
        return 0
    return terms.version_cents if terms.override_cents is None else terms.override_cents
