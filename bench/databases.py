"""Databases of the benchmark's own on the server that DATABASE_URL names: made from each other, dropped at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

DEFAULT_URL = "postgres://postgres@127.0.0.1/postgres"
_PREFIX = "clinic_billing_bench"


class Databases:
    """Names are short here (`start`, `work`) and carry a prefix on the server."""

    def __init__(self, url: str, prefix: str = _PREFIX) -> None:
        self._url, self._prefix = urlsplit(url), prefix
        if not self._url.scheme.startswith("postgres"):
            raise SystemExit("The benchmark needs PostgreSQL: set DATABASE_URL=postgres://...")
        # Advisory locks are the database's: whoever measures on this server meets in the same one.
        self._admin = psycopg.connect(urlunsplit(self._url._replace(path="/postgres")), autocommit=True)
        if not self._admin.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [prefix]).fetchone()[0]:
            raise SystemExit("Another benchmark is running on this server: they would drop each other's databases.")

    def url(self, name: str) -> str:
        """Return the DATABASE_URL of one of our databases."""
        return urlunsplit(self._url._replace(path=f"/{self._prefix}_{name}"))

    def connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(self.url(name), autocommit=True)

    def create(self, name: str) -> None:
        self.drop(name)
        self._admin.execute(SQL("CREATE DATABASE {}").format(Identifier(f"{self._prefix}_{name}")))

    def copy(self, source: str, name: str) -> None:
        """Make `name` anew as an exact copy of `source`, statistics and all, with nothing left to write behind it."""
        self.drop(name)
        names = Identifier(f"{self._prefix}_{name}"), Identifier(f"{self._prefix}_{source}")
        self._admin.execute(SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*names))
        self._admin.execute("CHECKPOINT")

    def rename(self, old: str, new: str) -> None:
        """Keep the state of `old` under the name `new`, tidied as an autovacuum would within the month."""
        self.drop(new)
        with self.connect(old) as connection:
            connection.execute("VACUUM ANALYZE")
        names = Identifier(f"{self._prefix}_{old}"), Identifier(f"{self._prefix}_{new}")
        self._admin.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(*names))

    def drop(self, name: str) -> None:
        self._admin.execute(SQL("DROP DATABASE IF EXISTS {} (FORCE)").format(Identifier(f"{self._prefix}_{name}")))

    def drop_all(self) -> None:
        rows = self._admin.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [self._prefix + "_"]
        )
        for (name,) in rows.fetchall():
            self.drop(name.removeprefix(self._prefix + "_"))


@contextmanager
def databases() -> Iterator[Databases]:
    """Yield the databases and drop them all afterwards, also those that a killed run left."""
    ours = Databases(os.environ.get("DATABASE_URL", DEFAULT_URL))
    ours.drop_all()
    try:
        yield ours
    finally:
        ours.drop_all()
