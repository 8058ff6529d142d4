"""Django's entry to the `offices` app."""

from django.apps import AppConfig


class OfficesConfig(AppConfig):
    """Register the app under its own name."""

    name = "offices"
    default_auto_field = "django.db.models.BigAutoField"
