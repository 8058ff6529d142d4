"""Print a full environment with fresh random secrets; runs without any."""

import secrets
from typing import Any

from django.core.management.base import BaseCommand

# What Stripe issues cannot be made up here; the placeholders are refused at start until they are replaced.
_FROM_STRIPE = {"STRIPE_API_KEY": "change-me-to-stripe-key", "STRIPE_WEBHOOK_SECRETS": "change-me-to-endpoint-secret"}
_RANDOM = (
    "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BLIND_INDEX_KEYS", "AUDIT_KEYS", "AUDIT_SIGNING_KEY", "METRICS_TOKEN",
)  # fmt: skip
_TO_FILL_IN = {
    "ALLOWED_HOSTS": "billing.example.com",
    "DATABASE_URL": "postgres://billing@127.0.0.1/billing",
    "CELERY_BROKER_URL": "redis://127.0.0.1:6379/0",
    "CACHE_URL": "rediscache://127.0.0.1:6379/1",
    "BILLING_FALLBACK_EMAIL": "billing@example.com",
}


class Command(BaseCommand):
    """`generate_secrets > .env`: lines of NAME=value, to be kept where secrets are kept."""

    help = __doc__

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Print one line for each setting."""
        for name in _RANDOM:
            self.stdout.write(f"{name}={secrets.token_urlsafe(48)}")
        for name, value in {**_FROM_STRIPE, **_TO_FILL_IN}.items():
            self.stdout.write(f"{name}={value}")
