"""Django's entry to the `patients` app."""

from django.apps import AppConfig


class PatientsConfig(AppConfig):
    """Register the app under its own name."""

    name = "patients"
    default_auto_field = "django.db.models.BigAutoField"
