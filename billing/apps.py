"""Django's entry to the `billing` app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """When the apps are ready: close the SDK's other doors, hang up the doorbells, listen to log-ins."""

    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Install the transport guard in every process (decisions.md 23), the wake-up port (34), the ears (33)."""
        from billing import checks  # noqa: F401 - registers itself
        from billing.admin import access
        from billing.stripe_gateway import client
        from billing.tasks import hang_bells

        client.install()
        hang_bells()
        access.connect()
