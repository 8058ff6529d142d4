"""Django's entry to the `billing` app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Register the app under its own name."""

    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"
