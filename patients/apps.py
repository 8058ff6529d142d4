"""Django's entry to the `patients` app."""

from importlib import import_module

from django.apps import AppConfig


class PatientsConfig(AppConfig):
    """Register the app, and the models of identities that `patients.models` deliberately does not name."""

    name = "patients"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        """Load `models.py`, then the identities and what recognises them."""
        super().import_models()
        import_module("patients.identity")
        import_module("patients.identity_tokens")
        import_module("patients.reveal_grant")
