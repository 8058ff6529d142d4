"""API keys: which office's portal may do what. The key itself is known to nobody, its digest is shown to nobody."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from rest_framework_api_key.models import APIKey

from audit.admin import audit_trail
from audit.columns import text, when, yes
from audit.read_only import PlainList, RelatedTable, related
from billing.admin.columns import office
from billing.admin.key_pages import issue_page, revoke_page
from billing.admin.pages import BillingPage, Exactly
from billing.models import IdempotentAnswer, OfficeApiKey, PlatformApiKey, PlatformKeyOffice
from billing.platform_keys import MOST_OFFICES, key_stream


class _ByPrefix(PlainList):
    """The library's primary key holds the key's digest: addresses carry the prefix instead."""

    def url_for_result(self, result: Any) -> str:
        """Return the address of the page of one key."""
        return reverse(f"admin:billing_{self.opts.model_name}_change", args=[result.prefix])


class KeyPage(BillingPage):
    """Keys, in force and revoked; they are issued and revoked on pages of their own (key_pages.py)."""

    list_filter = ["revoked"]
    ordering = ["-created"]
    list_before_template = "admin/api_key_issue_link.html"
    change_form_outer_before_template = "admin/api_key_revoke_link.html"
    offices_at_most = 1

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PlainList]:  # noqa: ARG002
        """Return the list that links by prefix."""
        return _ByPrefix

    def get_object(
        self,
        request: HttpRequest,
        object_id: str,
        from_field: str | None = None,  # noqa: ARG002
    ) -> Any:
        """Find a key by its prefix."""
        key: Any = self.get_queryset(request).filter(prefix=object_id).first()
        if key is not None:
            key.pk = key.prefix  # for the page's links to itself; a row that is shown is never saved
        return key

    def get_urls(self) -> list[Any]:
        """Add the pages that issue and revoke."""
        name = self.opts.model_name
        own = [
            path("issue/", self.admin_site.admin_view(self.issue), name=f"billing_{name}_issue"),
            path("<str:prefix>/revoke/", self.admin_site.admin_view(self.revoke), name=f"billing_{name}_revoke"),
        ]
        return own + super().get_urls()

    def issue(self, request: HttpRequest) -> HttpResponse:
        """Issue a key and show it this once."""
        return issue_page(request, self)

    def revoke(self, request: HttpRequest, prefix: str) -> HttpResponse:
        """Revoke a key after a question."""
        return revoke_page(request, self, prefix)


@admin.register(OfficeApiKey)
class OfficeApiKeyPage(KeyPage):
    """The keys of offices."""

    details = [
        text("prefix", title="key"),
        office(),
        text("name"),
        text("scopes"),
        when("created"),
        when("expiry_date", title="expires"),
        yes("revoked", colour="danger"),
    ]
    list_select_related = ["office"]
    finds = Exactly(office="office_id", ids=[], texts=["prefix"])
    search_help_text = "Office or prefix of the key (exact)"


@admin.register(PlatformApiKey)
class PlatformApiKeyPage(KeyPage):
    """The keys of platforms: each acts for several offices, and every use of it is in its stream."""

    details = [
        text("prefix", title="key"),
        text("name"),
        text("scopes"),
        when("created"),
        when("expiry_date", title="expires"),
        yes("revoked", colour="danger"),
    ]
    finds = Exactly(ids=[], texts=["prefix"])
    search_help_text = "Prefix of the key (exact)"
    offices_at_most = MOST_OFFICES

    def related_tables(self, request: HttpRequest, obj: PlatformApiKey) -> Iterable[RelatedTable]:
        """Show whom it acts for, and what was done with it."""
        offices = PlatformKeyOffice.objects.filter(platform_key=obj.prefix).select_related("office").order_by("pk")
        yield related("Offices", [office()], offices)
        yield from audit_trail(request, key_stream(obj.prefix))


@admin.register(PlatformKeyOffice)
class PlatformKeyOfficePage(BillingPage):
    """Which platform acts for which office."""

    details = [text("platform_key_id", title="key"), office()]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=[], texts=["platform_key"])
    search_help_text = "Office or prefix of the key (exact)"


@admin.register(IdempotentAnswer)
class IdempotentAnswerPage(BillingPage):
    """Answers kept for `Idempotency-Key`; what they say stays sealed."""

    details = [text("credential"), text("status_code", title="status"), when("created_at", title="answered")]
    ordering = ["-created_at"]
    finds = Exactly(ids=[], texts=["credential"])
    search_help_text = "Who called, such as api-key:<prefix> (exact)"


# The library's own table is not used: every key belongs to an office.
admin.site.unregister(APIKey)
