"""An instant as the text that was hashed, made by the database: a million datetimes take longer to make than to hash.

Whatever is stored must keep its differences: a text that two stored values share would hide an edit from one to the
other.
"""

from typing import Any

from django.db.models import Func, TextField


class InstantText(Func):
    """`seal.instant` of a stored instant; what cannot have been written (before Christ, garbage) gets another text."""

    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Write as text with microseconds; BC stays where it stands, and infinity is a word."""
        shape = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.USBC')"""
        template = f"replace(coalesce({shape}, CAST(%(expressions)s AS text)), 'AD', 'Z')"
        return super().as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Write as text, which it is already, with microseconds also where there are none."""
        return super().as_sql(
            compiler,
            connection,
            template="replace(%(expressions)s, ' ', 'T') || "
            "CASE length(%(expressions)s) WHEN 19 THEN '.000000Z' ELSE 'Z' END",
            **context,
        )
