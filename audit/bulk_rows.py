"""Write hundreds of rows at once where `bulk_create` and `bulk_update` would spend their time in Python.

On PostgreSQL the rows travel as one JSON text in one statement; elsewhere the ORM does the same. This module is the
one switch between the two (performance.md, "SQLite"); `bin/bench billing_run` shows what it gains.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import Field, Model

from audit.compiled import prepared_cursor

_BATCH = 1000  # rows in one statement: some hundred kilobytes of text

_Fields = Sequence["Field[Any, Any]"]


def insert_all(objects: Sequence[Model]) -> None:
    """Insert new objects of one model; a key that the database makes is set on them, as `bulk_create` does."""
    if not objects:
        return
    model = type(objects[0])
    if connection.vendor != "postgresql":
        model._base_manager.bulk_create(objects, batch_size=_BATCH)
        return
    sql = f"{_insert(model)} RETURNING {_column(model._meta.pk)}"
    with prepared_cursor() as cursor:
        for batch in _batches(objects):
            cursor.execute(sql, [_as_json(batch, _written(model))])
            for made, (value,) in zip(batch, cursor.fetchall(), strict=True):
                made.pk = value
                made._state.adding, made._state.db = False, connection.alias


def update_all(objects: Sequence[Model], names: Sequence[str]) -> None:
    """Write these fields of stored objects of one model."""
    if not objects:
        return
    model = type(objects[0])
    if connection.vendor != "postgresql":
        model._base_manager.bulk_update(objects, names, batch_size=_BATCH // 2)
        return
    fields = _keyed(model, tuple(names))
    sql = _update(model, tuple(names))
    with prepared_cursor() as cursor:
        for batch in _batches(objects):
            cursor.execute(sql, [_as_json(batch, fields)])


def insert_and_update(made: Sequence[Model], stored: Sequence[Model], names: Sequence[str]) -> None:
    """Insert new objects and write these fields of stored ones: in one statement where few are concerned.

    The new ones do not learn the keys that the database makes.
    """
    if connection.vendor != "postgresql" or max(len(made), len(stored)) > _BATCH or not made or not stored:
        insert_all(made)
        update_all(stored, names)
        return
    new, old = type(made[0]), type(stored[0])
    with prepared_cursor() as cursor:
        cursor.execute(
            f"WITH moved AS ({_update(old, tuple(names))}) {_insert(new)}",
            [_as_json(stored, _keyed(old, tuple(names))), _as_json(made, _written(new))],
        )


@cache
def _insert(model: type[Model]) -> str:
    fields = _written(model)
    names = ", ".join(_column(field) for field in fields)
    # Every name comes from a model, every value is a parameter.
    return f"INSERT INTO {_table(model)} ({names}) SELECT {names} FROM {_rows(fields)}"  # noqa: S608


@cache
def _update(model: type[Model], names: tuple[str, ...]) -> str:
    key, *fields = _keyed(model, names)
    assignments = ", ".join(f"{_column(field)} = rows.{_column(field)}" for field in fields)
    stored = f"{_table(model)}.{_column(key)} = rows.{_column(key)}"
    return f"UPDATE {_table(model)} SET {assignments} FROM {_rows([key, *fields])} WHERE {stored}"  # noqa: S608


@cache
def _written(model: type[Model]) -> _Fields:
    """Return the fields that an insert writes: all but a key that the database makes."""
    key = model._meta.pk
    return [field for field in model._meta.concrete_fields if not (field is key and key.db_returning)]


@cache
def _keyed(model: type[Model], names: tuple[str, ...]) -> _Fields:
    named = {field.name: field for field in model._meta.concrete_fields}
    return [model._meta.pk, *(named[name] for name in names)]


def _batches(objects: Sequence[Model]) -> Iterator[list[Model]]:
    remaining = iter(objects)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _as_json(objects: Sequence[Model], fields: _Fields) -> str:
    """Return the rows as text; ids and instants are written as PostgreSQL reads them.

    Django's own fields hold what JSON carries as it is, fields of ours (encryption) prepare their values.
    """
    plan = [(field.column, field.attname) for field in fields]
    rows = [{column: getattr(made, name) for column, name in plan} for made in objects]
    for field in fields:
        if not type(field).__module__.startswith("django."):
            for row in rows:
                row[field.column] = field.get_prep_value(row[field.column])
    return json.dumps(rows, default=str)


def _rows(fields: _Fields) -> str:
    columns = ", ".join(f"{_column(field)} {field.cast_db_type(connection)}" for field in fields)
    return f"json_to_recordset(%s) AS rows ({columns})"


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(str(field.column))
