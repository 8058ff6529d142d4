"""What every test shares: a database that comes back as the migrations left it, markers, Hypothesis profiles.

Append-only and freeze triggers make Django's flush fail (decisions.md 37), so the flush here lifts them as the table's
owner and puts them back as they were. Rows that migrations wrote (plans, content types) are copied once and put back
too, so a transactional test leaves what it found.
"""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import hypothesis
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase
from pytest_django.plugin import DjangoDbBlocker

from tests.migrated_database import MigratedDatabase

# --- Hypothesis: `HYPOTHESIS_PROFILE=full bin/test` runs the full numbers, CI takes a sample (decisions.md 38) ---
hypothesis.settings.register_profile("ci", max_examples=25, deadline=None, print_blob=True)
hypothesis.settings.register_profile("full", max_examples=2_000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# What is drawn is the same in each run, so that a red test tells of the change alone. DRAW_SEED=7 draws other cases,
# DRAW_SEED=random what nobody has drawn before.
SEED = "20260601"

DAY = 86_400  # seconds


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of all that is drawn before Hypothesis and the workers read it, so that it can be printed."""
    seed = os.environ.get("DRAW_SEED", SEED)
    os.environ["DRAW_SEED"] = str(random.SystemRandom().randrange(2**32)) if seed == "random" else seed
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = os.environ["DRAW_SEED"]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    settings.CACHES["default"]["KEY_PREFIX"] = f"{worker}-{_run_id()}"  # workers may share one Redis


def pytest_report_header(config: pytest.Config) -> str:
    profile = os.environ.get("HYPOTHESIS_PROFILE", "ci")
    database = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    return f"database: {database}; hypothesis: profile {profile}, DRAW_SEED={config.option.hypothesis_seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = {
        "postgresql": (not settings.DATABASES["default"]["ENGINE"].endswith("postgresql"), "needs PostgreSQL"),
        "redis": (not os.environ.get("REDIS_URL"), "needs REDIS_URL"),
        "full": ("full" not in config.option.markexpr, "the full numbers: run with -m full"),
    }
    for item in items:
        for name, (absent, reason) in missing.items():
            if absent and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


# --- The test database: one for each run and worker, so that two runs in one tree do not meet ---
def _run_id() -> str:
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]


@pytest.fixture(scope="session")
def migrated_databases() -> list[MigratedDatabase]:
    return [MigratedDatabase(connections[alias]) for alias in connections]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    django_db_keepdb: bool,
    django_db_blocker: DjangoDbBlocker,
    migrated_databases: list[MigratedDatabase],
) -> Iterator[None]:
    if not django_db_keepdb:
        for database in settings.DATABASES.values():
            test = database.setdefault("TEST", {})
            test["NAME"] = f"{test.get('NAME') or 'test_' + str(database['NAME'])}_{_run_id()}"
        for left_over in settings.VAR_DIR.glob("test.sqlite3*"):  # of a run that was killed
            if left_over.stat().st_mtime < time.time() - DAY:
                left_over.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            for migrated in migrated_databases:
                migrated.start_from_it(patch)
        yield


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, migrated_databases: list[MigratedDatabase]
) -> Iterator[None]:
    """Remember what the migrations left, and flush back to exactly that after each transactional test."""
    with django_db_blocker.unblock():
        for database in migrated_databases:
            database.keep()
        migrated = {alias: MigratedState.of(connections[alias]) for alias in connections}

    def put_back(test: TransactionTestCase) -> None:
        for alias in test._databases_names(include_mirrors=False):
            migrated[alias].put_back(connections[alias])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", put_back)
        yield


@pytest.fixture(scope="module")
def shared_rows(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[DjangoDbBlocker]:
    """A transaction around all tests of a module: what its own fixtures write is made once, and found by each test.

    Each test still starts from those rows, as its own transaction lies within; none of them may be `transaction=True`.
    """
    with django_db_blocker.unblock():
        around = transaction.atomic()
        around.__enter__()
    yield django_db_blocker
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@dataclass(frozen=True)
class Trigger:
    """One trigger of the product: where it is, how it is made, and on PostgreSQL whether it fires ALWAYS."""

    table: str
    name: str
    sql: str
    state: str = ""


@dataclass(frozen=True)
class MigratedState:
    """Triggers and rows as the migrations left them; the rows are copied inside the database, so types stay exact."""

    triggers: tuple[Trigger, ...]
    columns: dict[str, str]

    @classmethod
    def of(cls, connection: BaseDatabaseWrapper) -> "MigratedState":
        columns = {}
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("DROP SCHEMA IF EXISTS kept CASCADE; CREATE SCHEMA kept")
            for table, names in _columns(connection).items():
                cursor.execute(f'SELECT 1 FROM "{table}" LIMIT 1')
                if cursor.fetchone():
                    copy = _copy_name(connection, table)
                    cursor.execute(f"DROP TABLE IF EXISTS {copy}")
                    cursor.execute(f'CREATE TABLE {copy} AS SELECT {names} FROM "{table}"')
                    columns[table] = names
        return cls(triggers=_triggers(connection), columns=columns)

    def put_back(self, connection: BaseDatabaseWrapper) -> None:
        """Empty only what has rows: truncating every table, as Django's flush does, takes seconds on PostgreSQL."""
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL lock_timeout = '20s'")  # a thread left in a transaction: fail, don't hang
            filled, standing = _filled_tables(connection), _triggers(connection)
            lifted = {each for each in standing if each.table in filled or each not in self.triggers}
            for trigger in lifted:
                cursor.execute(_lift(connection, trigger))
            for table in filled:
                cursor.execute(f'DELETE FROM "{table}"')
            self._put_back_rows(connection)
            for trigger in set(self.triggers) - (set(standing) - lifted):
                cursor.execute(_restore(connection, trigger))

    def _put_back_rows(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            for table, names in self.columns.items():
                cursor.execute(f'INSERT INTO "{table}" ({names}) SELECT {names} FROM {_copy_name(connection, table)}')
            models = apps.get_models(include_auto_created=True)
            kept = [model for model in models if model._meta.db_table in self.columns]
            for statement in connection.ops.sequence_reset_sql(no_style(), kept):
                cursor.execute(statement)
            if connection.vendor == "postgresql":
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no table with pending checks can be altered


def _columns(connection: BaseDatabaseWrapper) -> dict[str, str]:
    existing = set(connection.introspection.table_names())
    return {
        model._meta.db_table: ", ".join(
            f'"{field.column}"' for field in model._meta.local_concrete_fields if not field.generated
        )
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and model._meta.db_table in existing
    }


def _filled_tables(connection: BaseDatabaseWrapper) -> list[str]:
    asked = [f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM \"{table}\")" for table in _columns(connection)]
    with connection.cursor() as cursor:
        found: list[str] = []
        for start in range(0, len(asked), 100):  # SQLite allows 500 in one compound
            cursor.execute(" UNION ALL ".join(asked[start : start + 100]))
            found += [table for (table,) in cursor.fetchall()]
        return found


def _copy_name(connection: BaseDatabaseWrapper, table: str) -> str:
    return f'kept."{table}"' if connection.vendor == "postgresql" else f'"kept_{table}"'


def _triggers(connection: BaseDatabaseWrapper) -> tuple[Trigger, ...]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text FROM pg_trigger t"
                " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND n.nspname = 'public' ORDER BY 1, 2"
            )
        else:
            cursor.execute("SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1, 2")
        return tuple(Trigger(*row) for row in cursor.fetchall())


def _lift(connection: BaseDatabaseWrapper, trigger: Trigger) -> str:
    """Take the trigger away altogether: one that a test added, changed or disabled is then no special case."""
    on_table = f' ON "{trigger.table}"' if connection.vendor == "postgresql" else ""
    return f'DROP TRIGGER "{trigger.name}"{on_table}'


def _restore(connection: BaseDatabaseWrapper, trigger: Trigger) -> str:
    if connection.vendor != "postgresql":
        return trigger.sql
    state = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}[trigger.state]
    return f'{trigger.sql}; ALTER TABLE "{trigger.table}" {state} TRIGGER "{trigger.name}"'
