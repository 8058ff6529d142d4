"""A page of a list by statements compiled once (audit/compiled.py): what the framework's pagination asks of a queryset.

It orders, filters by a position and slices; each combination of these is a statement of its own.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet

from audit.compiled import Parameter, Statement

Build = Callable[[tuple[str, ...]], QuerySet[Any, Any]]  # from the names of the filters in use; a function of a module
_POSITION = "position"


class CompiledPages:
    """The rows of a list, not yet read. `values` are those of the filters and of whatever else `build` names."""

    def __init__(self, build: Build, filters: tuple[str, ...], values: dict[str, Any]) -> None:
        self._build, self._filters, self._values = build, filters, values
        self._ordering: tuple[str, ...] = ()
        self._past: str | None = None

    def order_by(self, *ordering: str) -> "CompiledPages":
        """Order; the pagination does this first."""
        self._ordering = ordering
        return self

    def filter(self, **position: Any) -> "CompiledPages":
        """Begin past a position: one comparison with the first column of the order."""
        ((self._past, value),) = position.items()
        self._values = {**self._values, _POSITION: value}
        return self

    def __getitem__(self, page: slice) -> Iterator[dict[str, Any]]:
        """Return the rows of a page."""
        bounds = page.start or 0, page.stop
        statement = _statement(self._build, self._filters, self._ordering, self._past, bounds)
        return iter(statement.rows(**self._values))


# As many as an active process needs: sizes of pages and offsets are a caller's, so they are not kept for ever.
@lru_cache(maxsize=256)
def _statement(
    build: Build, filters: tuple[str, ...], ordering: tuple[str, ...], past: str | None, bounds: tuple[int, int]
) -> Statement:
    def page() -> QuerySet[Any, Any]:
        rows = build(filters).order_by(*ordering)
        if past is not None:
            column = rows.model._meta.get_field(past.rpartition("__")[0])
            rows = rows.filter(**{past: Parameter(_POSITION, column)})
        return rows[slice(*bounds)]

    return Statement(page)
