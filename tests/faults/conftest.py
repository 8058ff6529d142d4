"""The stand-in, as in the tests of billing."""

from tests.billing.conftest import stripe

__all__ = ["stripe"]
