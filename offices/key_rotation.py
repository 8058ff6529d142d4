"""Encrypt every stored secret again under the first key, and index it again: row by row, while everybody works on.

A row says itself under which key it was written (`1:<key id>:...`, or the key's id beside an index), so what is left
to do is a query: a killed rotation goes on where it was, a second one finds nothing (45 CFR 164.312(a)(2)(iv)).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import OperationalError, connection, transaction
from django.db.models import ExpressionWrapper, F, Model, Q, QuerySet, TextField

from offices.copied_indexes import follow
from offices.encryption import FORMAT, BlindIndex, CiphertextUnreadable, EncryptedTextField, blind_index, field_keys
from offices.locking import LOCK_TIMEOUT

_BATCH = 500  # rows in one transaction: their locks are held for some 0.2 s
_STORED = "stored_"

Row = Mapping[str, Any]  # what is stored, undecrypted, by field name; "pk" among it
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that depends on a key: which rows are behind, and what they should hold.

    `rewrite` gets the stored values of `reads` and returns new ones; it raises CiphertextUnreadable. `guard` is the
    field that must still hold what was read, or the row belongs to a writer that came between.
    """

    model: type[Model]
    guard: str
    reads: tuple[str, ...]
    behind: Callable[[], Q]
    rewrite: Callable[[Row], dict[str, str]]

    @property
    def label(self) -> str:
        """Return its name in reports, such as `billing.invoice.internal_note`."""
        return f"{self.model._meta.label_lower}.{self.guard}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that no key of the ring opens: where it is, never what it holds."""

    column: str
    row: str


@dataclass(slots=True)
class Rotation:
    """What came of it: rows written again by column, rows that cannot be read, rows that others held too long."""

    rewritten: dict[str, int] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)


def encrypted_columns() -> list[Column]:
    """Return every EncryptedTextField of every app: a new one is rotated without being listed anywhere."""
    return [
        encrypted_column(model, column.name)
        for model in apps.get_models(include_auto_created=True)
        for column in model._meta.local_concrete_fields
        if isinstance(column, EncryptedTextField)
    ]


def encrypted_column(model: type[Model], name: str) -> Column:
    """Return the column that holds text encrypted by the ring for the context `app.model.name`."""
    context = f"{model._meta.label_lower}.{name}"

    def rewrite(row: Row) -> dict[str, str]:
        ring = field_keys()
        return {name: ring.encrypt(ring.decrypt(row[name], context=context), context=context)}

    def behind() -> Q:
        return Q(**{f"{_STORED}{name}__isnull": False}) & ~Q(
            **{f"{_STORED}{name}__startswith": f"{FORMAT}:{field_keys().writing_key_id}:"}
        )

    return Column(model, name, (name,), behind, rewrite)


def index_column(
    model: type[Model], digest: str, *, reads: tuple[str, ...], index: Callable[[Row], BlindIndex]
) -> Column:
    """Return the blind index in `digest`, whose key is named in `<digest>_key`; `index` makes it from stored values."""
    key = f"{digest}_key"

    def rewrite(row: Row) -> dict[str, str]:
        made = index(row)
        return {digest: made.digest, key: made.key_id}

    def behind() -> Q:
        return Q(**{f"{digest}__isnull": False}) & ~Q(**{key: blind_index("", context="").key_id})

    return Column(model, digest, reads, behind, rewrite)


def blind_index_columns() -> list[Column]:
    """Return every blind index that a model names in BLIND_INDEXES, with the encrypted field that it is made from."""
    return [
        _blind_index_of(model, digest, source, context)
        for model in apps.get_models()
        for digest, (source, context) in getattr(model, "BLIND_INDEXES", {}).items()
    ]


def _blind_index_of(model: type[Model], digest: str, source: str, context: str) -> Column:
    stored = f"{model._meta.label_lower}.{source}"

    def index(row: Row) -> BlindIndex:
        if row[source] is None:
            raise CiphertextUnreadable("an index without its value")
        return blind_index(field_keys().decrypt(row[source], context=stored), context=context)

    return index_column(model, digest, reads=(source,), index=index)


def rotate(columns: Sequence[Column], *, dry_run: bool, progress: Progress) -> Rotation:
    """Bring all rows of these columns under the first key; each batch is a transaction of its own.

    A batch passes by rows that others hold, so that two orders of locks never meet; these follow one by one, waiting.
    `busy` counts the rows that are behind even so, held for longer than LOCK_TIMEOUT: run it again.
    """
    done = Rotation()
    total = sum(_behind(column).count() for column in columns)
    for column in columns:
        done.rewritten[column.label], unreadable = 0, []
        for rewritten, found in _steps(column, dry_run=dry_run):
            done.rewritten[column.label] += rewritten
            unreadable += found
            progress(sum(done.rewritten.values()), total)
        done.unreadable += [Unreadable(column.label, row) for row in unreadable]
        left = 0 if dry_run else _behind(column).count() - len(unreadable)
        if left > 0:
            done.busy[column.label] = left
    return done


def _steps(column: Column, *, dry_run: bool) -> Iterator[tuple[int, list[str]]]:
    """Go through the rows that are behind, by primary key; yield how many were rewritten and ids of unreadable ones."""
    last: Any = None
    passed_by: list[Any] = []
    while True:
        rows = _behind(column) if last is None else _behind(column).filter(pk__gt=last)
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH])
        if not keys:
            break
        rewritten, unreadable = _rewrite(column, keys, waiting=False, dry_run=dry_run)
        if rewritten + len(unreadable) < len(keys):
            passed_by += [key for key in keys if str(key) not in unreadable]
        yield rewritten, unreadable
        last = keys[-1]
    for key in passed_by:
        yield _rewrite(column, [key], waiting=True, dry_run=dry_run)


def _rewrite(column: Column, keys: list[Any], *, waiting: bool, dry_run: bool) -> tuple[int, list[str]]:
    try:
        with transaction.atomic():
            rows = _behind(column).filter(pk__in=keys).order_by("pk")
            if connection.vendor == "postgresql" and not dry_run:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
                rows = rows.select_for_update(no_key=True, skip_locked=not waiting)
            return _write(column, rows, dry_run=dry_run)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == "55P03":  # lock_not_available: counted as busy in the end
            return 0, []
        raise


def _write(column: Column, rows: "QuerySet[Any, Any]", *, dry_run: bool) -> tuple[int, list[str]]:
    changes: list[tuple[Row, dict[str, str]]] = []
    unreadable: list[str] = []
    for stored in rows.values("pk", *(f"{_STORED}{name}" for name in _fields(column))):
        row = {name.removeprefix(_STORED): value for name, value in stored.items()}
        try:
            changes.append((row, column.rewrite(row)))
        except CiphertextUnreadable:
            unreadable.append(str(row["pk"]))
    if dry_run or not changes:
        return len(changes), unreadable
    return _update(column, changes), unreadable


def _update(column: Column, changes: list[tuple[Row, dict[str, str]]]) -> int:
    """Write what was made where the row still holds what it was made from; return how many rows did."""
    meta, quote = column.model._meta, connection.ops.quote_name
    named = {each.name: quote(str(each.column)) for each in meta.concrete_fields}
    assignments = ", ".join(f"{named[name]} = %s" for name in changes[0][1])
    where = f"{named[meta.pk.name]} = %s AND {named[column.guard]} = %s"
    # Every name comes from a model, every value is a parameter.
    sql = f"UPDATE {quote(meta.db_table)} SET {assignments} WHERE {where}"  # noqa: S608
    parameters = [
        [*new.values(), meta.pk.get_db_prep_value(row["pk"], connection), row[column.guard]] for row, new in changes
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, parameters)
        written = int(cursor.rowcount)
    follow(column.model, column.guard, {row[column.guard]: new[column.guard] for row, new in changes})
    return written


def _behind(column: Column) -> "QuerySet[Any, Any]":
    """Return the rows still under another key, with their stored values beside them, undecrypted."""
    stored = {f"{_STORED}{name}": _undecrypted(column.model, name) for name in _fields(column)}
    rows: QuerySet[Any, Any] = column.model._base_manager.annotate(**stored).filter(column.behind())
    return rows


def _undecrypted(model: type[Model], name: str) -> "F | ExpressionWrapper[Any]":
    if isinstance(model._meta.get_field(name), EncryptedTextField):
        return ExpressionWrapper(F(name), output_field=TextField())
    return F(name)


def _fields(column: Column) -> tuple[str, ...]:
    return tuple(dict.fromkeys((column.guard, *column.reads)))
