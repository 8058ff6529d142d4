"""Filters of the list of discrepancies: whose they are, how old, and how much money they are about."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.staff_forms import staff_actor


class _Chosen(SimpleListFilter):
    """A filter with fixed choices, each a condition."""

    CHOICES: ClassVar[Mapping[str, tuple[str, Callable[[str, datetime], Q]]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the choices."""
        return [(value, words) for value, (words, _) in self.CHOICES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what the condition keeps."""
        chosen = self.CHOICES.get(self.value() or "")
        return queryset.filter(chosen[1](staff_actor(request), timezone.now())) if chosen else queryset


class OwnerFilter(_Chosen):
    """Whose they are."""

    title = "owner"
    parameter_name = "owned"
    CHOICES: ClassVar = {
        "me": ("Mine", lambda me, _now: Q(owner=me)),
        "nobody": ("Nobody's", lambda _me, _now: Q(owner="")),
        "other": ("Somebody else's", lambda me, _now: ~Q(owner__in=["", me])),
    }


class FoundFilter(_Chosen):
    """How long ago they were found."""

    title = "age"
    parameter_name = "found"
    CHOICES: ClassVar = {
        "day": ("Since yesterday", lambda _me, now: Q(found_at__gt=now - timedelta(days=1))),
        "week": ("1 to 7 days", lambda _me, now: _between(now, 1, 7)),
        "month": ("7 to 30 days", lambda _me, now: _between(now, 7, 30)),
        "older": ("More than 30 days", lambda _me, now: Q(found_at__lte=now - timedelta(days=30))),
    }


class StakeFilter(_Chosen):
    """How much money they are about, in cents either way."""

    title = "amount"
    parameter_name = "stake"
    CHOICES: ClassVar = {
        "none": ("None", lambda _me, _now: Q(amount_cents=0)),
        "small": ("Up to 100.00", lambda _me, _now: Q(amount_cents__range=(-10_000, 10_000)) & ~Q(amount_cents=0)),
        "large": ("More than 100.00", lambda _me, _now: ~Q(amount_cents__range=(-10_000, 10_000))),
    }


def _between(now: datetime, newest: int, oldest: int) -> Q:
    return Q(found_at__lte=now - timedelta(days=newest), found_at__gt=now - timedelta(days=oldest))
