"""A cursor of PostgreSQL's driver that asks the server to keep each statement planned (audit/compiled.py)."""

from typing import Any

from psycopg import Cursor


class PreparedCursor(Cursor[Any]):
    """Values travel apart from the text, so that one plan serves them all."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> "PreparedCursor":
        """Execute, and prepare it the first time; only on a connection with a `prepare_threshold`.

        Answers come in binary form: an instant read from text costs three times as much.
        """
        return super().execute(query, params, **{"prepare": True, "binary": True, **options})
