"""INSERT ... SELECT compiled from a queryset: rows are made where they live, in one statement.

Measured for a month end of a million lines: 14 s, against 126 s for `bulk_create` (performance.md).
"""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable


def insert_from(model: type[Model], rows: QuerySet[Any], **columns: str | Combinable) -> int:
    """Insert into `model` one row for each row of `rows`; return how many.

    `columns` names each field of `model` and the expression of `rows` that fills it.
    """
    source = rows.values_list(*columns.values())
    try:
        sql, params = source.query.sql_with_params()
    except EmptyResultSet:  # Django knows without asking: filtered by an empty list, such as no cycle to carry over
        return 0
    names = ", ".join(connection.ops.quote_name(_column(model, name)) for name in columns)
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        # Every name comes from a model, every value is a parameter.
        cursor.execute(f"INSERT INTO {table} ({names}) {sql}", params)
        return int(cursor.rowcount)


def _column(model: type[Model], name: str) -> str:
    # `column` is missing only on reverse relations, which nobody inserts into.
    return str(getattr(model._meta.get_field(name), "column"))  # noqa: B009
