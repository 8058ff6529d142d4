"""Filters of the list of offices."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from billing.models import OfficeProfile, ProfileRejection


class ProfileFilter(SimpleListFilter):
    """Choose offices by whether a person has approved, or rejected, what Stripe may know of them."""

    title = "profile"
    parameter_name = "profile"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the answers; those that nobody looked at yet are the work that waits."""
        return [
            ("approved", "approved"),
            ("opaque", "not approved: opaque name"),
            ("rejected", "rejected: opaque name"),
            ("undecided", "nobody has decided yet"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Keep the offices with, or without, a standing approval."""
        standing = Exists(OfficeProfile.objects.filter(office=OuterRef("pk"), replaced_at__isnull=True))
        rejected = Exists(ProfileRejection.objects.filter(office=OuterRef("pk")))
        asked = {
            "approved": standing,
            "opaque": ~standing,
            "rejected": ~standing & rejected,
            "undecided": ~standing & ~rejected,
        }.get(self.value() or "")
        return queryset if asked is None else queryset.filter(asked)
