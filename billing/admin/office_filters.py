"""Filters of the list of offices."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from billing.models import OfficeProfile


class ProfileFilter(SimpleListFilter):
    """Choose offices by whether a person has approved what Stripe may know of them."""

    title = "profile"
    parameter_name = "profile"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the two answers."""
        return [("approved", "approved"), ("opaque", "not approved: opaque name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Keep the offices with, or without, a standing approval."""
        standing = Exists(OfficeProfile.objects.filter(office=OuterRef("pk"), replaced_at__isnull=True))
        if self.value() == "approved":
            return queryset.filter(standing)
        return queryset.filter(~standing) if self.value() == "opaque" else queryset
