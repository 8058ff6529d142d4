"""Django's entry to the `sandbox` app."""

from django.apps import AppConfig


class SandboxConfig(AppConfig):
    """Register the app under its own name."""

    name = "sandbox"
    default_auto_field = "django.db.models.BigAutoField"
