"""Which corrections wait for the person who looks."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.staff_forms import staff_actor
from billing.models import CorrectionStatus


def waiting_for(request: HttpRequest, corrections: QuerySet[Any]) -> QuerySet[Any]:
    """Keep those that somebody else asked for and nobody has decided about in time yet."""
    waiting = corrections.filter(status=CorrectionStatus.REQUESTED, expires_at__gt=timezone.now())
    return waiting.exclude(requested_by=staff_actor(request))


class WaitingFilter(SimpleListFilter):
    """Choose what the person could decide."""

    title = "waiting"
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Offer one choice."""
        return [("me", "For my decision")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep them."""
        return waiting_for(request, queryset) if self.value() == "me" else queryset
