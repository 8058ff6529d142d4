"""Fixtures of billing: the Stripe stand-in behind the real SDK."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from sandbox.stripe_standin import StripeStandIn


@pytest.fixture
def stripe(settings) -> Iterator[StripeStandIn]:
    """A fresh local Stripe that the product is pointed at; requests go over HTTP through the real SDK and the guard."""
    with StripeStandIn(
        api_keys={settings.STRIPE_API_KEY}, webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0]
    ) as standin:
        settings.STRIPE_API_BASE = standin.base_url
        cache.clear()
        yield standin
