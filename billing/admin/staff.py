"""The people of the console: who may log in, in which roles, and with what. Accounts are made with `create_staff`."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from audit.columns import text, when, yes
from audit.read_only import ReadOnlyPage, RelatedTable, related
from billing.admin.pages import BillingPage, Exactly
from billing.models import EmergencyOpening, StaffDevice

admin.site.unregister([User, Group])


@admin.register(User)
class UserPage(ReadOnlyPage):
    """Accounts of staff."""

    details = [
        text("username", title="user", order="username"),
        yes("is_active", title="active"),
        yes("is_staff", title="staff"),
        yes("is_superuser", title="superuser", colour="warning"),
        yes("is_enrolled", title="second factor"),
        when("last_login", title="last log-in"),
        when("date_joined", title="since"),
    ]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    ordering = ["username"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the password's digest in the database; add whether a second factor is confirmed."""
        confirmed = StaffDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        accounts: QuerySet[Any] = (
            super().get_queryset(request).defer("password").annotate(is_enrolled=Exists(confirmed))
        )
        return accounts

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Answer no question about the password's digest."""
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def related_tables(self, request: HttpRequest, obj: User) -> Iterable[RelatedTable]:  # noqa: ARG002
        """Show the roles."""
        yield related("Roles", [text("name", title="role")], obj.groups.order_by("name"))


@admin.register(Group)
class GroupPage(ReadOnlyPage):
    """Roles."""

    details = [text("name", title="role")]
    ordering = ["name"]

    def related_tables(self, request: HttpRequest, obj: Group) -> Iterable[RelatedTable]:  # noqa: ARG002
        """Show what the role may do."""
        permissions = obj.permissions.select_related("content_type").order_by("content_type__app_label", "codename")
        yield related("Permissions", [text("name", title="permission")], permissions)


@admin.register(StaffDevice)
class StaffDevicePage(BillingPage):
    """Second factors: that there is one, and how it is used. Secrets and codes are shown to nobody."""

    details = [
        text("user", title="account"),
        yes("confirmed"),
        when("confirmed_at", title="since"),
        when("last_used_at", title="last code"),
        text("recovery_codes_left"),
        text("throttling_failure_count", title="wrong codes in a row"),
        when("ends_at", title="ends"),
    ]
    list_filter = ["confirmed"]
    list_select_related = ["user"]
    ordering = ["user__username"]
    finds = Exactly(ids=[], texts=["user__username"])
    search_help_text = "User name (exact)"


@admin.register(EmergencyOpening)
class EmergencyOpeningPage(BillingPage):
    """Each time the sealed account was opened. Why stays encrypted."""

    details = [text("person", title="for"), when("opened_at"), when("ends_at"), when("alerted_at")]
    ordering = ["-opened_at", "-pk"]
    finds = Exactly(ids=[], texts=["person"])
    search_help_text = "User name (exact)"
