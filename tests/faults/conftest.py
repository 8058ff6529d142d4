"""The stand-in, as in the tests of billing."""

from tests.billing.conftest import stripe, stripe_state

__all__ = ["stripe", "stripe_state"]
