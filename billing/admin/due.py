"""Offices that wait for a billing run: as a filter of their list, so that each count of them leads to just these."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.read_only import LONGEST_COUNT
from billing.run_chunk import due_offices

# The run comes by every hour: what waits for longer than two was left by it.
OVERDUE = timedelta(hours=2)
NOW, LONG = "now", "overdue"


def overdue_offices(now: datetime) -> QuerySet[Any]:
    """Return the offices that a run should have worked through by now."""
    return due_offices(now - OVERDUE)


class DueFilter(SimpleListFilter):
    """Whether a run has something to do for the office."""

    title = "billing run"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the choices."""
        return [(NOW, "Due"), (LONG, "Due for more than two hours")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Keep the offices that wait."""
        waiting = {NOW: due_offices, LONG: overdue_offices}.get(self.value() or "")
        if waiting is None:
            return queryset
        # Read first: inside the query of the list the database would ask of each office anew.
        ids = list(waiting(timezone.now()).values_list("pk", flat=True)[:LONGEST_COUNT])
        return queryset.filter(pk__in=ids)
