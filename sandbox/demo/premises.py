"""The database the demo may fill: its own file under `var/`, made anew each time, or any other that is empty."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections

from audit.models import AuditEntry
from billing.models import Invoice, StripeEvent
from offices.models import Office
from patients.models import Patient


class DatabaseInUse(Exception):
    """The database holds something that is not the demo's to remove, or another demo is at work on it."""


def own_file() -> Path | None:
    """Return the demo's own SQLite file, `var/demo*.sqlite3`; None when the settings name another database."""
    return demo_file(settings.DATABASES["default"])


def demo_file(database: Mapping[str, Any]) -> Path | None:
    """Return the file of this database when it is one of the demo's own."""
    path = Path(str(database["NAME"]))
    is_own = path.parent == settings.VAR_DIR and path.name.startswith("demo") and path.suffix == ".sqlite3"
    return path if database["ENGINE"].endswith("sqlite3") and is_own else None


def stripe_file() -> Path | None:
    """Return where the local Stripe keeps its state: beside the demo's own file, otherwise nowhere."""
    path = own_file()
    return path.with_suffix(".stripe") if path else None


def story_mark() -> Path | None:
    """Return the file that says that a story has been told to its end in the demo's own file."""
    path = own_file()
    return path.with_suffix(".told") if path else None


def is_told() -> bool:
    """Tell whether an earlier demo came to a good end here, and what it left is all there."""
    files = (own_file(), stripe_file(), story_mark())
    return all(path is not None and path.exists() for path in files)


def check_usable() -> None:
    """Raise DatabaseInUse unless the demo may fill this database: its own file, or any other without a row."""
    if own_file() is not None:
        return
    tables = set(connection.introspection.table_names())
    for model in (Office, Patient, Invoice, AuditEntry, StripeEvent, get_user_model()):
        if model._meta.db_table in tables and model._base_manager.exists():
            raise DatabaseInUse("DATABASE_URL names a database that is not empty; the demo fills an empty one")


def make_ready() -> bool:
    """Leave an empty, migrated database; return whether an earlier demo's file had to go. Raises DatabaseInUse."""
    check_usable()
    removed = _remove_own_files()
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # whitenoise warns without
    call_command("migrate", verbosity=0, interactive=False)
    return removed


def _remove_own_files() -> bool:
    database, stripe, mark = own_file(), stripe_file(), story_mark()
    if database is None or stripe is None or mark is None:
        return False
    existed = database.exists()
    connections.close_all()
    # The mark goes first: what is half removed must not pass for a story.
    mark.unlink(missing_ok=True)
    for path in (database, stripe):
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    return existed


@contextmanager
def alone() -> Iterator[None]:
    """Keep other demos away from the demo's own file; raises DatabaseInUse when one is at work."""
    path = own_file()
    if path is None:
        yield
        return
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseInUse("another demo is at work on this database; end it first") from None
        yield
