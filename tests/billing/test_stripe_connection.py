"""The connection to Stripe: one rate limit for all, and what happens while it cannot be reached."""

import socket

import pytest
from django.core.cache import caches

from billing.delivery import deliver_due
from billing.models import MessageStatus, OutboxMessage
from offices.models import Office
from tests.billing.scenes import CLOSED_AT, close_month
from tests.builders import Clock

pytestmark = pytest.mark.django_db


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def no_cache(settings):
    """A Redis that is away."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{unused_port()}/0",
        }
    }
    yield
    caches.close_all()


def test_while_the_shared_rate_limit_is_away_nothing_is_sent_and_nobody_is_parked(stripe, no_cache):
    close_month()
    clock = Clock(CLOSED_AT)

    summary = deliver_due(clock=clock)

    assert {trouble.code for trouble in summary.troubles} == {"rate_limited_here"}
    assert len(stripe.requests) == 0
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {MessageStatus.PENDING}
    assert not Office.objects.filter(parked_at__isnull=False).exists()
