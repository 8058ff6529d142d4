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
    sql, fields = f"{_insert(model)} RETURNING {_column(model._meta.pk)}", _written(model)
    with prepared_cursor() as cursor:
        for batch in _batches(objects):
            cursor.execute(sql, [_as_json([_values_of(made, fields) for made in batch], fields)])
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
    sql, fields = _update(model, tuple(names)), _keyed(model, tuple(names))
    with prepared_cursor() as cursor:
        for batch in _batches(objects):
            cursor.execute(sql, [_as_json([_values_of(stored, fields) for stored in batch], fields)])


def insert_and_update(
    new: tuple[type[Model], Sequence[Row]], stored: tuple[type[Model], Sequence[Row]], names: Sequence[str]
) -> None:
    """Insert rows of one model and write these columns of rows of another, each given with its key.

    The rows never were objects: of thousands, making these would cost more than all the rest. In one statement where
    few are concerned.
    """
    (made, new_rows), (kept, old_rows) = new, stored
    if connection.vendor != "postgresql":
        made._base_manager.bulk_create([made(**row) for row in new_rows], batch_size=_BATCH)
        kept._base_manager.bulk_update([kept(**row) for row in old_rows], names, batch_size=_BATCH // 2)
        return
    insert, update = _insert(made), _update(kept, tuple(names))
    written, keyed = _written(made), _keyed(kept, tuple(names))
    with prepared_cursor() as cursor:
        if max(len(new_rows), len(old_rows)) <= _BATCH:
            both = f"WITH moved AS ({update}) {insert}"
            cursor.execute(both, [_as_json(old_rows, keyed), _as_json(new_rows, written)])
            return
        for batch in _batches(new_rows):
            cursor.execute(insert, [_as_json(batch, written)])
        for batch in _batches(old_rows):
            cursor.execute(update, [_as_json(batch, keyed)])


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


def _values_of(made: Model, fields: _Fields) -> Row:
    return {str(field.column): getattr(made, field.attname) for field in fields}


def _batches(rows: Sequence[Any]) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _as_json(rows: Sequence[Row], fields: _Fields) -> str:
    """Return the rows as text; ids and instants are written as PostgreSQL reads them.

    Django's own fields hold what JSON carries as it is, fields of ours (encryption) prepare their values.
    """
    ours = [(str(field.column), field) for field in fields if not type(field).__module__.startswith("django.")]
    if ours:
        rows = [row | {name: field.get_prep_value(row[name]) for name, field in ours} for row in rows]
    return json.dumps(rows, default=str)


def _rows(fields: _Fields) -> str:
    columns = ", ".join(f"{_column(field)} {field.cast_db_type(connection)}" for field in fields)
    return f"json_to_recordset(%s) AS rows ({columns})"


def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _column(field: "Field[Any, Any]") -> str:
    return connection.ops.quote_name(str(field.column))
