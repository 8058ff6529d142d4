"""A migration operation for rules that the ORM cannot express: triggers and exclusion constraints.

Each vendor gets its own SQL, because a rule that silently does nothing on one of them is no rule
(dependencies.md, "Left out on purpose": pgtrigger). Django rebuilds a SQLite table when a later migration
alters it, which drops its triggers: such a migration wraps its operations in `keeping_triggers`, and
`tests/test_database_rules.py` fails when one is missing.
"""

from collections.abc import Sequence

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import StateApps


def database_rule(
    *, postgresql: Sequence[str], sqlite: Sequence[str], undo_postgresql: Sequence[str], undo_sqlite: Sequence[str]
) -> migrations.RunPython:
    """Return a reversible operation that runs the statements of the connected vendor, one by one."""

    def install(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
        _execute(schema_editor, {"postgresql": postgresql, "sqlite": sqlite})

    def remove(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
        _execute(schema_editor, {"postgresql": undo_postgresql, "sqlite": undo_sqlite})

    return migrations.RunPython(install, remove)


def keeping_triggers(*operations: Operation) -> list[Operation]:
    """Return the operations between two that set SQLite's triggers aside and put them back word for word.

    A trigger of another table that reads the rebuilt one would even stop the rename. PostgreSQL keeps its triggers.
    """
    kept: list[tuple[str, str]] = []

    def set_aside(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
        kept.clear()
        if schema_editor.connection.vendor == "sqlite":
            with schema_editor.connection.cursor() as cursor:
                cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid")
                kept.extend(cursor.fetchall())
        for name, _sql in kept:
            schema_editor.execute(f'DROP TRIGGER "{name}"', params=None)

    def put_back(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for _name, sql in kept:
            schema_editor.execute(sql, params=None)

    return [migrations.RunPython(set_aside, put_back), *operations, migrations.RunPython(put_back, set_aside)]


def _execute(schema_editor: BaseDatabaseSchemaEditor, statements: dict[str, Sequence[str]]) -> None:
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)
