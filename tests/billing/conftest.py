"""Fixtures of billing: the Stripe stand-in behind the real SDK, and what is decrypted."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import override_settings

from offices.encryption import field_keys
from sandbox.stripe_standin import StripeStandIn


def new_stand_in(state: Path | None = None) -> StripeStandIn:
    """A local Stripe, or the one that the file of its state was left by."""
    cache.clear()
    return StripeStandIn(
        api_keys={settings.STRIPE_API_KEY}, webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0], state_path=state
    )


@pytest.fixture
def stripe_state() -> Path | None:
    """The file of what Stripe knows already; overridden where a module's books are made once."""
    return None


@pytest.fixture
def stripe(settings, stripe_state: Path | None, tmp_path: Path) -> Iterator[StripeStandIn]:
    """A fresh local Stripe that the product is pointed at; requests go over HTTP through the real SDK and the guard."""
    own = shutil.copyfile(stripe_state, tmp_path / "stripe.sqlite3") if stripe_state else None
    with new_stand_in(own) as standin:
        settings.STRIPE_API_BASE = standin.base_url
        yield standin


@contextmanager
def at_stand_in(state: Path | None = None) -> Iterator[StripeStandIn]:
    """The same for a fixture of a whole module, whose rows are `shared_rows`."""
    with new_stand_in(state) as standin, override_settings(STRIPE_API_BASE=standin.base_url):
        yield standin


@pytest.fixture
def decrypted(monkeypatch) -> list[str]:
    """The contexts of all that is decrypted from now on."""
    seen: list[str] = []
    ring = type(field_keys())
    decrypt = ring.decrypt

    def noted(self: Any, stored: str, *, context: str) -> str:
        seen.append(context)
        return decrypt(self, stored, context=context)

    monkeypatch.setattr(ring, "decrypt", noted)
    return seen
