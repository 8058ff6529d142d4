"""Querysets compiled once: for the few statements of which every call of the portal needs a dozen.

The ORM takes longer to write such a statement than the database to answer it: of an activation it was half the time.
The queryset stays what is written, read and tested; only its text is kept, with `Parameter`s where each call has its
own values. Django's own adaptation and conversion of values is used on both sides.

PostgreSQL keeps them planned as well, for each connection: with the policies of the API's role it spent more than
half of an activation planning. `PREPARED_STATEMENTS=false` turns that off, for poolers that do not carry it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections  # its attributes are asked thousands of times: past the proxy
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.expressions import BaseExpression
from django.db.models.sql.compiler import SQLCompiler

from audit.prepared import PreparedCursor


class Parameter(Expression):
    """Stands in a queryset where each call has a value of its own."""

    def __init__(self, name: str, output_field: "Field[Any, Any]") -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:  # noqa: ARG002
        """Leave a place in the text, and ourselves among the values."""
        return "%s", (self,)

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
    model: type[Model]


class Statement:
    """A queryset with parameters. `build` is called once for each kind of database, when it is first asked."""

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        self._build = build
        self._texts: dict[str, _Text] = {}

    def rows(self, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of a queryset of `values()`."""
        text = self._text()
        return [dict(zip(text.names, row, strict=True)) for row in _fetched(text, values)]

    def first(self, **values: Any) -> dict[str, Any] | None:
        """Return the first of the rows; the queryset asks for no more."""
        return next(iter(self.rows(**values)), None)

    def objects(self, **values: Any) -> list[Any]:
        """Return the objects of a queryset of one model, complete and without relations."""
        text = self._text()
        return [text.model.from_db(DEFAULT_DB_ALIAS, text.names, row) for row in _fetched(text, values)]

    def sql(self, **values: Any) -> tuple[str, list[Any]]:
        """Return text and values, for a statement around this one (`INSERT ... SELECT`)."""
        text = self._text()
        return text.sql, _adapted(text, values)

    def _text(self) -> _Text:
        vendor = connections[DEFAULT_DB_ALIAS].vendor
        text = self._texts.get(vendor)
        if text is None:
            text = self._texts[vendor] = _compiled(self._build())
        return text


def prepared_cursor() -> Any:
    """Return a cursor, to be used in a `with`, whose statements the database keeps planned where it does that."""
    database = connections[DEFAULT_DB_ALIAS]
    # A log of statements wants them with their values, which a prepared one never holds together.
    if database.vendor != "postgresql" or database.queries_logged:
        return database.cursor()
    database.ensure_connection()
    make: Any = database.make_cursor
    return make(PreparedCursor(database.connection))


def _compiled(queryset: QuerySet[Any, Any]) -> _Text:
    query = queryset.query
    compiler = query.get_compiler(using=DEFAULT_DB_ALIAS)
    sql, params = compiler.as_sql()
    expressions = [column for column, _, _ in compiler.select[: compiler.col_count]]
    converters = compiler.get_converters(expressions)
    names = tuple(query.selected or [column.target.attname for column in expressions])
    flat = tuple((position, found, expression) for position, (found, expression) in converters.items())
    return _Text(sql, tuple(params), names, flat, queryset.model)


def _fetched(text: _Text, values: dict[str, Any]) -> Iterable[Sequence[Any]]:
    with prepared_cursor() as cursor:
        cursor.execute(text.sql, _adapted(text, values))
        fetched: list[Sequence[Any]] = cursor.fetchall()
    return map(_converting(text.converters), fetched) if text.converters else fetched


def _adapted(text: _Text, values: dict[str, Any]) -> list[Any]:
    database = connections[DEFAULT_DB_ALIAS]
    return [
        value.output_field.get_db_prep_value(values[value.name], database) if isinstance(value, Parameter) else value
        for value in text.values
    ]


def _converting(converters: Sequence[tuple[int, Any, Any]]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    database = connections[DEFAULT_DB_ALIAS]

    def convert(row: Sequence[Any]) -> Sequence[Any]:
        made = list(row)
        for position, found, expression in converters:
            for each in found:
                made[position] = each(made[position], expression, database)
        return made

    return convert
