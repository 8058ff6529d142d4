"""Django's entry to the console: the admin application with our own site (console_site.py) in unfold's place."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """Named in INSTALLED_APPS instead of `django.contrib.admin`."""

    default_site = "billing_project.console_site.ConsoleSite"
