"""How many rows a large table has, without reading it: the database's own estimate, kept fresh by its autovacuum."""

from dataclasses import dataclass

from django.db import connection, models

# A smaller table is counted: that takes milliseconds.
COUNTED_UP_TO = 100_000


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows, and whether it is exact."""

    number: int
    exact: bool

    def __str__(self) -> str:
        return f"{self.number:,}" if self.exact else f"about {self.number:,}"


def rows_of(model: type[models.Model]) -> Count:
    """Return the number of rows, estimated where the database says that there are very many."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table])
            (estimate,) = cursor.fetchone()
        if estimate > COUNTED_UP_TO:
            return Count(estimate, exact=False)
    return Count(model._default_manager.count(), exact=True)
