"""The people of the console: who may log in, and what they may look at. Accounts are made with `createsuperuser`."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest

from audit.columns import text, when, yes
from audit.read_only import ReadOnlyPage, RelatedTable, related

admin.site.unregister([User, Group])


@admin.register(User)
class UserPage(ReadOnlyPage):
    """Accounts of staff."""

    details = [
        text("username", title="user", order="username"),
        yes("is_active", title="active"),
        yes("is_staff", title="staff"),
        yes("is_superuser", title="superuser", colour="warning"),
        when("last_login", title="last log-in"),
        when("date_joined", title="since"),
    ]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    ordering = ["username"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the password's digest in the database."""
        return super().get_queryset(request).defer("password")

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Answer no question about the password's digest."""
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def related_tables(self, request: HttpRequest, obj: User) -> Iterable[RelatedTable]:  # noqa: ARG002
        """Show the groups."""
        yield related("Groups", [text("name", title="group")], obj.groups.order_by("name"))


@admin.register(Group)
class GroupPage(ReadOnlyPage):
    """Roles."""

    details = [text("name", title="group")]
    ordering = ["name"]

    def related_tables(self, request: HttpRequest, obj: Group) -> Iterable[RelatedTable]:  # noqa: ARG002
        """Show what the group may do."""
        permissions = obj.permissions.select_related("content_type").order_by("content_type__app_label", "codename")
        yield related("Permissions", [text("name", title="permission")], permissions)
