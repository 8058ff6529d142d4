"""INSERT ... SELECT compiled from a queryset: rows are made where they live, in one statement.

Measured for a month end of a million lines: 14 s, against 126 s for `bulk_create` (performance.md).
"""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable

from audit.compiled import prepared_cursor


def insert_from(model: type[Model], rows: QuerySet[Any], **columns: str | Combinable) -> int:
    """Insert into `model` one row for each row of `rows`; return how many.

    `columns` names each field of `model` and the expression of `rows` that fills it.
    """
    source = rows.values_list(*columns.values())
    try:
        sql, params = source.query.sql_with_params()
    except EmptyResultSet:  # Django knows without asking: filtered by an empty list, such as no cycle to carry over
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {_target(model, list(columns))} {sql}", params)
        return int(cursor.rowcount)


def inserted_from(model: type[Model], sql: str, params: Sequence[Any], columns: Sequence[str]) -> list[Any]:
    """Insert what a compiled SELECT of these columns gives, in their order; return the new objects."""
    named = [model._meta.get_field(name) for name in columns]
    returning = ", ".join(connection.ops.quote_name(_column(model, name)) for name in columns)
    with prepared_cursor() as cursor:
        cursor.execute(f"INSERT INTO {_target(model, columns)} {sql} RETURNING {returning}", params)
        rows = cursor.fetchall()
    names = [str(getattr(field, "attname")) for field in named]  # noqa: B009
    read = [getattr(field, "to_python") for field in named]  # noqa: B009 - as for columns below
    return [
        model.from_db(connection.alias, names, [each(value) for each, value in zip(read, row, strict=True)])
        for row in rows
    ]


def _target(model: type[Model], columns: Sequence[str]) -> str:
    """Return table and columns; every name comes from a model, every value is a parameter."""
    names = ", ".join(connection.ops.quote_name(_column(model, name)) for name in columns)
    return f"{connection.ops.quote_name(model._meta.db_table)} ({names})"


def _column(model: type[Model], name: str) -> str:
    # `column` is missing only on reverse relations, which nobody inserts into.
    return str(getattr(model._meta.get_field(name), "column"))  # noqa: B009
