"""The migrated test database, kept for the next run: migrating takes ten seconds, copying what came of it none.

The copy is named by a digest of all that the migrations are made of, so that a change of any of it makes a new one.
"""

import contextlib
import hashlib
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db.backends.base.base import BaseDatabaseWrapper

_MADE_OF = (
    "*/migrations/*.py",
    "audit/database_rules.py",
    "billing/role_grants.py",
    "offices/encryption.py",
    "requirements.txt",
)


class MigratedDatabase:
    """The kept copy for one connection; made before the test database is, while its name is still the environment's."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._family = f"test_{Path(str(connection.settings_dict['NAME'])).stem[:30]}_migrated_"
        self._name = self._family + _digest()
        self._file = Path(settings.VAR_DIR) / f"{self._name}.sqlite3"

    def start_from_it(self, patch: pytest.MonkeyPatch) -> None:
        """Let the test database start as a copy, if there is one: migrations then find nothing to do."""
        if self._connection.vendor == "postgresql":
            if self._is_in_cluster():
                self._connection.settings_dict["TEST"]["TEMPLATE"] = self._name
        elif self._file.exists():
            patch.setattr(self._connection.creation, "_create_test_db", lambda *_args, **_kwargs: self._copied())

    def keep(self) -> None:
        """Keep the database that was just migrated, in place of any older one."""
        if self._connection.vendor == "postgresql":
            if not self._is_in_cluster():
                self._keep_in_cluster()
        elif not self._file.exists():
            self._keep_as_file()

    def _copied(self) -> str:
        name = str(self._connection.settings_dict["TEST"]["NAME"])
        shutil.copyfile(self._file, name)
        return name

    def _keep_as_file(self) -> None:
        for older in self._file.parent.glob(f"{self._family}*"):
            older.unlink(missing_ok=True)
        made = self._file.with_suffix(f".{Path(self._connection.settings_dict['NAME']).name}")
        with self._connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(made)])
        made.replace(self._file)  # at once: another worker never sees half of it

    def _is_in_cluster(self) -> bool:
        with self._connection.creation._nodb_cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self._name])
            return cursor.fetchone() is not None

    def _keep_in_cluster(self) -> None:
        source = self._connection.settings_dict["NAME"]
        self._connection.close()  # a database in use cannot be copied
        with self._connection.creation._nodb_cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [self._family])
            for (older,) in cursor.fetchall():
                cursor.execute(f'DROP DATABASE IF EXISTS "{older}"')
            with contextlib.suppress(DatabaseFailure):  # another worker of this run was quicker
                cursor.execute(f'CREATE DATABASE "{self._name}" TEMPLATE "{source}"')


def _digest() -> str:
    digest = hashlib.sha256()
    for pattern in _MADE_OF:
        for path in sorted(settings.BASE_DIR.glob(pattern)):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
