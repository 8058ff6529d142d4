"""Django's entry to the `audit` app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Register the app under its own name."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Teach every field the lookup `among`."""
        from audit import among  # noqa: F401 - registers itself
