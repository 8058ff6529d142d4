"""Write hundreds of rows at once where `bulk_create` and `bulk_update` would spend their time in Python.

On PostgreSQL the rows travel as one JSON text in one statement; elsewhere the ORM does the same. This module is the
one switch between the two (performance.md, "SQLite"); `bin/bench billing_run` shows what it gains.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import Field, Model

_BATCH = 1000  # rows in one statement: some hundred kilobytes of text

Row = dict[str, Any]  # values by column

_Fields = Sequence["Field[Any, Any]"]


def insert_all(objects: Sequence[Model]) -> None:
    """Insert new objects of one model; a key that the database makes is set on them, as `bulk_create` does."""
    if not objects:
        return
    model = type(objects[0])
    if connection.vendor != "postgresql":
        model._base_manager.bulk_create(objects, batch_size=_BATCH)
        return
    fields = _stored_fields(model)
    rows = [_values_of(made, fields) for made in objects]
    for made, key in zip(objects, _insert(model, fields, rows), strict=True):
        made.pk = key
        made._state.adding, made._state.db = False, connection.alias


def insert_rows(model: type[Model], rows: Sequence[Row]) -> None:
    """Insert rows that never were objects: of thousands, making the objects would cost more than all the rest.

    Every row holds each column but the key that the database makes.
    """
    if connection.vendor != "postgresql":
        model._base_manager.bulk_create([model(**row) for row in rows], batch_size=_BATCH)
    else:
        _insert(model, _stored_fields(model), rows)


def update_all(objects: Sequence[Model], names: Sequence[str]) -> None:
    """Write these fields of stored objects of one model."""
    if not objects:
        return
    model = type(objects[0])
    if connection.vendor != "postgresql":
        model._base_manager.bulk_update(objects, names, batch_size=_BATCH // 2)
        return
    fields = _named_fields(model, names)
    _update(model, fields, [_values_of(made, [model._meta.pk, *fields]) for made in objects])


def update_rows(model: type[Model], rows: Sequence[Row], names: Sequence[str]) -> None:
    """Write these columns of stored rows, each given with its key."""
    if connection.vendor != "postgresql":
        model._base_manager.bulk_update([model(**row) for row in rows], names, batch_size=_BATCH // 2)
    else:
        _update(model, _named_fields(model, names), rows)


def _insert(model: type[Model], fields: _Fields, rows: Sequence[Row]) -> list[Any]:
    """Insert with one statement a batch and return the keys."""
    names = ", ".join(_column(field) for field in fields)
    # Every name comes from a model, every value is a parameter.
    source = f"SELECT {names} FROM {_rows(fields)}"  # noqa: S608
    sql = f"INSERT INTO {_table(model)} ({names}) {source} RETURNING {_column(model._meta.pk)}"
    keys: list[Any] = []
    with connection.cursor() as cursor:
        for batch in _batches(rows):
            cursor.execute(sql, [_as_json(batch, fields)])
            keys += [key for (key,) in cursor.fetchall()]
    return keys


def _update(model: type[Model], fields: _Fields, rows: Sequence[Row]) -> None:
    key = model._meta.pk
    assignments = ", ".join(f"{_column(field)} = rows.{_column(field)}" for field in fields)
    stored = f"{_table(model)}.{_column(key)} = rows.{_column(key)}"
    sql = f"UPDATE {_table(model)} SET {assignments} FROM {_rows([key, *fields])} WHERE {stored}"  # noqa: S608
    with connection.cursor() as cursor:
        for batch in _batches(rows):
            cursor.execute(sql, [_as_json(batch, [key, *fields])])


def _stored_fields(model: type[Model]) -> _Fields:
    key = model._meta.pk
    return [field for field in model._meta.concrete_fields if not (field is key and key.db_returning)]


def _named_fields(model: type[Model], names: Sequence[str]) -> _Fields:
    named = {field.name: field for field in model._meta.concrete_fields}
    return [named[name] for name in names]


def _values_of(made: Model, fields: _Fields) -> Row:
    return {field.column: getattr(made, field.attname) for field in fields}


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _as_json(rows: list[Row], fields: _Fields) -> str:
    """Return the rows as text; ids and instants are written as PostgreSQL reads them.

    Django's own fields hold what JSON carries as it is, fields of ours (encryption) prepare their values.
    """
    ours = [field for field in fields if not type(field).__module__.startswith("django.")]
    if ours:
        rows = [row | {field.column: field.get_prep_value(row[field.column]) for field in ours} for row in rows]
    return json.dumps(rows, default=str)


def _rows(fields: _Fields) -> str:
    columns = ", ".join(f"{_column(field)} {field.cast_db_type(connection)}" for field in fields)
    return f"json_to_recordset(%s) AS rows ({columns})"


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(str(field.column))
