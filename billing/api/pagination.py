"""Cursor pages: no count over the table, and no page that shifts while rows are added (performance.md, "Reads")."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

_NOWHERE = Cursor(offset=0, reverse=False, position=None)
PAGE_PARAMETERS = frozenset({"cursor", "page_size"})


class CursorPages(CursorPagination):
    """Pages of 50, up to 200 on request. A cursor or size that we did not hand out is a 400, never ignored."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int:
        """Return how many rows a page has; raise ValidationError."""
        size = request.query_params.get("page_size", str(self.page_size))
        if not (size.isascii() and size.isdigit() and len(size) < 4 and 1 <= int(size) <= self.max_page_size):
            raise _invalid("page_size", f"Write a whole number from 1 to {self.max_page_size}.")
        return int(size)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the decoded cursor; raise ValidationError, also for a position that no row of ours can have."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None:
                self._check(cursor)
        except (NotFound, ValueError, OverflowError):
            raise _invalid("cursor", "This is not a cursor of ours.") from None
        return cursor

    def _check(self, cursor: Cursor) -> None:
        """Raise ValueError for a cursor that we did not hand out."""
        if cursor == _NOWHERE:
            raise ValueError("the framework takes what it cannot read for the first page")
        if cursor.position is not None:
            self.check_position(str(cursor.position))

    def check_position(self, position: str) -> None:
        """Raise ValueError unless the position has the type of the first ordering column."""
        raise NotImplementedError

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the bounds of `page_size` as well."""
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == "page_size":
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return parameters


class NewestFirst(CursorPages):
    """By creation; equal times are told apart by id."""

    ordering = ("-created_at", "-id")

    def check_position(self, position: str) -> None:
        """Expect an instant, as the database can take it."""
        instant = datetime.fromisoformat(position)
        if instant.tzinfo is None:
            raise ValueError("a position has a zone")
        instant.astimezone(UTC)


class ByReference(CursorPages):
    """By random reference: unique, so an import of 100,000 accounts at one instant pages as well."""

    ordering = ("reference",)

    def check_position(self, position: str) -> None:
        """Expect a UUID."""
        UUID(position)


def _invalid(name: str, message: str) -> ValidationError:
    return ValidationError({name: [ErrorDetail(message, code="invalid")]})
