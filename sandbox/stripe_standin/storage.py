"""The optional file behind the state: one SQLite table of JSON texts that another process may read at any time."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from sandbox.stripe_standin.documents import Json

_CREATE = """
CREATE TABLE IF NOT EXISTS objects (
    position INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (kind, id)
)
"""
# The upsert keeps the first position, so that creation order survives a restart.
_UPSERT = (
    "INSERT INTO objects (kind, id, body) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"
)


class Storage:
    """A SQLite file; only ever used under the stand-in's lock, hence from any thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # A sandbox survives the death of its process with these, and need not survive the machine's.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(_CREATE)

    def load(self) -> Iterator[tuple[str, Json]]:
        """Yield (kind, document), oldest first."""
        for kind, body in self._connection.execute("SELECT kind, body FROM objects ORDER BY position"):
            yield kind, json.loads(body)

    def write(self, changes: Iterable[tuple[str, str, Json | None]]) -> None:
        """Write (kind, id, document) in one transaction; a missing document deletes the row."""
        self._connection.execute("BEGIN IMMEDIATE")
        for kind, object_id, document in changes:
            if document is None:
                self._connection.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, object_id))
            else:
                self._connection.execute(_UPSERT, (kind, object_id, json.dumps(document)))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
