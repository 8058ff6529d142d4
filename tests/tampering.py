"""Do what only the table's owner can: change rows behind the back of triggers and constraints.

For tests in a transaction (plain `django_db`): their rollback puts every rule back.
"""

from django.db import connection


def lift_rules(*tables: str) -> None:
    """Take the triggers of these tables away."""
    with connection.cursor() as cursor:
        for table in tables:
            if connection.vendor == "postgresql":
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
            else:
                cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
                for (name,) in cursor.fetchall():
                    cursor.execute(f'DROP TRIGGER "{name}"')


def drop_unique(table: str, name: str) -> None:
    """Take a partial unique index, or on PostgreSQL a unique constraint, away."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT IF EXISTS "{name}"')
        cursor.execute(f'DROP INDEX IF EXISTS "{name}"')


def bare(table: str) -> None:
    """Leave nothing of a table but its rows: no trigger, no key, no constraint."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            lift_rules(table)
            cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass", [table])
            for (name,) in cursor.fetchall():
                cursor.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')
        else:
            cursor.execute(f'CREATE TABLE "bare" AS SELECT * FROM "{table}"')
            cursor.execute(f'DROP TABLE "{table}"')
            cursor.execute(f'ALTER TABLE "bare" RENAME TO "{table}"')


def execute(sql: str, *parameters: object) -> int:
    """Run one statement past the ORM; return how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)
