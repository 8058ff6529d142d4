"""What is asked of the settings at start, beyond what Django checks itself."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def rate_limit_is_shared(**_kwargs: Any) -> list[CheckMessage]:
    """With workers in several processes, the limit of requests to Stripe must live where all of them see it."""
    per_process = settings.CACHES["default"]["BACKEND"].endswith(("LocMemCache", "DummyCache"))
    if settings.CELERY_BROKER_URL and per_process:
        return [
            Error(
                "CACHE_URL must name a shared cache (Redis) when CELERY_BROKER_URL is set.",
                hint="The rate limit towards Stripe is kept there, once for all processes.",
                id="billing.E001",
            )
        ]
    return []
