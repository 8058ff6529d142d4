"""Querysets compiled once: for the few statements of which every call of the portal needs a dozen.

The ORM takes longer to write such a statement than the database to answer it: of an activation it was half the time.
The queryset stays what is written, read and tested; only its text is kept, with `Parameter`s where each call has its
own values. Django's own adaptation and conversion of values is used on both sides.

PostgreSQL keeps them planned as well, for each connection: with the policies of the API's role it spent three quarters
of an activation planning. `PREPARED_STATEMENTS=false` turns that off, for poolers that do not carry it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.expressions import BaseExpression
from django.db.models.sql.compiler import SQLCompiler

from audit.prepared import PreparedCursor


class Parameter(Expression):
    """Stands in a queryset where each call has a value of its own."""

    def __init__(self, name: str, output_field: "Field[Any, Any]") -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:  # noqa: ARG002
        """Leave a place in the text, and ourselves among the values."""
        return "%s", [self]

    def get_group_by_cols(self) -> list[BaseExpression]:
        """Stay out of GROUP BY, as a value does."""
        return []


@dataclass(frozen=True, slots=True)
class _Text:
    """What the compiler made of a queryset on one kind of database."""

    sql: str
    values: tuple[Any, ...]
    names: tuple[str, ...]
    converters: tuple[tuple[int, Any, Any], ...]


class Statement:
    """A queryset with parameters. `build` is called once for each kind of database, when it is first asked."""

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        self._build = build
        self._texts: dict[str, _Text] = {}

    def rows(self, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of a queryset of `values()`."""
        names = self._text().names
        return [dict(zip(names, row, strict=True)) for row in self._fetched(values)]

    def first(self, **values: Any) -> dict[str, Any] | None:
        """Return the first of the rows; the queryset asks for no more."""
        return next(iter(self.rows(**values)), None)

    def objects(self, **values: Any) -> list[Any]:
        """Return the objects of a queryset of one model, complete and without relations."""
        names, model = self._text().names, self._build().model
        return [model.from_db(connection.alias, names, row) for row in self._fetched(values)]

    def sql(self, **values: Any) -> tuple[str, list[Any]]:
        """Return text and values, for a statement around this one (`INSERT ... SELECT`)."""
        text = self._text()
        return text.sql, [_adapted(value, values) for value in text.values]

    def _text(self) -> _Text:
        text = self._texts.get(connection.vendor)
        if text is None:
            text = self._texts[connection.vendor] = _compiled(self._build())
        return text

    def _fetched(self, values: dict[str, Any]) -> Iterator[Sequence[Any]]:
        text = self._text()
        with prepared_cursor() as cursor:
            cursor.execute(*self.sql(**values))
            fetched = cursor.fetchall()
        return map(_converting(text.converters), fetched) if text.converters else iter(fetched)


@contextmanager
def prepared_cursor() -> Iterator[Any]:
    """Yield a cursor whose statements the database keeps planned, where it does that."""
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            yield cursor
        return
    connection.ensure_connection()
    make = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    with make(PreparedCursor(connection.connection)) as cursor:
        yield cursor


def _compiled(queryset: QuerySet[Any, Any]) -> _Text:
    query = queryset.query
    compiler = query.get_compiler(using=connection.alias)
    sql, params = compiler.as_sql()
    expressions = [column for column, _, _ in compiler.select[: compiler.col_count]]
    converters = compiler.get_converters(expressions)
    names = tuple(query.selected or [column.target.attname for column in expressions])
    flat = tuple((position, found, expression) for position, (found, expression) in converters.items())
    return _Text(sql, tuple(params), names, flat)


def _adapted(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, Parameter):
        return value.output_field.get_db_prep_value(values[value.name], connection)
    return value


def _converting(converters: Sequence[tuple[int, Any, Any]]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    def convert(row: Sequence[Any]) -> Sequence[Any]:
        made = list(row)
        for position, found, expression in converters:
            for each in found:
                made[position] = each(made[position], expression, connection)
        return made

    return convert
