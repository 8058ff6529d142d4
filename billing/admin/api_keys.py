"""API keys: which office's portal may do what. The key itself is known to nobody, its digest is shown to nobody."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from rest_framework_api_key.models import APIKey

from audit.columns import text, when, yes
from audit.read_only import PlainList
from billing.admin.columns import office
from billing.admin.pages import BillingPage, Exactly
from billing.models import OfficeApiKey


class _ByPrefix(PlainList):
    """The library's primary key holds the key's digest: addresses carry the prefix instead."""

    def url_for_result(self, result: Any) -> str:
        """Return the address of the page of one key."""
        return reverse("admin:billing_officeapikey_change", args=[result.prefix])


@admin.register(OfficeApiKey)
class OfficeApiKeyPage(BillingPage):
    """Keys, in force and revoked."""

    details = [
        text("prefix", title="key"),
        office(),
        text("name"),
        text("scopes"),
        when("created"),
        when("expiry_date", title="expires"),
        yes("revoked", colour="danger"),
    ]
    list_filter = ["revoked"]
    list_select_related = ["office"]
    ordering = ["-created"]
    finds = Exactly(office="office_id", ids=[], texts=["prefix"])
    search_help_text = "Office or prefix of the key (exact)"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PlainList]:  # noqa: ARG002
        """Return the list that links by prefix."""
        return _ByPrefix

    def get_object(
        self,
        request: HttpRequest,
        object_id: str,
        from_field: str | None = None,  # noqa: ARG002
    ) -> OfficeApiKey | None:
        """Find a key by its prefix."""
        key: OfficeApiKey | None = self.get_queryset(request).filter(prefix=object_id).first()
        if key is not None:
            key.pk = key.prefix  # for the page's links to itself; a row that is shown is never saved
        return key


# The library's own table is not used: every key belongs to an office.
admin.site.unregister(APIKey)
