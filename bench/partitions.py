"""Would partitions of line items by month pay? `python -m bench.partitions [LINES [MONTHS]]`, on PostgreSQL.

The same rows in a plain table and in one partitioned by month, with the product's keys and indexes; what differs is
only that each unique key must hold the month too. Every measurement alternates between the two in one run;
medians of five. docs/operations/partitioning.md says what follows.
"""

import statistics
import sys
import time
from collections.abc import Callable

import psycopg

from bench.databases import databases

ROUNDS = 5
PER_INVOICE = 100
NAME = "partitions"
COLUMNS = """
    id uuid NOT NULL, item_type varchar(20) NOT NULL, cycle_key varchar(7) NOT NULL, patient_reference uuid,
    quantity integer NOT NULL, unit_price_cents bigint NOT NULL, live boolean NOT NULL, created_at timestamptz NOT NULL,
    invoice_id uuid NOT NULL"""
RULES = """
    CREATE UNIQUE INDEX {0}_once ON {0} (patient_reference, cycle_key) WHERE live AND patient_reference IS NOT NULL;
    CREATE INDEX {0}_invoice ON {0} (invoice_id);"""
# Patients and invoices by number: the same in every month and every run.
ROWS = """
    SELECT gen_random_uuid(), 'active_patient', %(month)s::text, md5('patient' || n)::uuid, 1, 200, true, now(),
        md5(%(month)s::text || n / {per_invoice})::uuid
    FROM generate_series(0, %(lines)s - 1) n""".format(per_invoice=PER_INVOICE)  # noqa: UP032 - braces of psycopg's


def main() -> None:
    lines, months = (int(word) for word in (sys.argv[1:] + ["3000000", "30"][len(sys.argv) - 1 :]))
    names = [f"{2024 + number // 12}-{number % 12 + 1:02}" for number in range(months)]
    with databases() as server:
        server.create(NAME)
        with server.connect(NAME) as connection:
            build(connection, names, lines // months)
            print(f"{lines:,} lines in {months} months; ms on the plain table, on the partitioned one, ratio")
            sizes(connection)
            measure(connection, names, lines // months)


def build(connection: psycopg.Connection, months: list[str], lines: int) -> None:
    connection.execute(f"CREATE TABLE plain ({COLUMNS}, PRIMARY KEY (id))")
    connection.execute(f"CREATE TABLE parted ({COLUMNS}, PRIMARY KEY (id, cycle_key)) PARTITION BY LIST (cycle_key)")
    for table in ("plain", "parted"):
        connection.execute(RULES.format(table))
    for month in [*months, *extra_months()]:
        connection.execute(f"CREATE TABLE \"parted_{month}\" PARTITION OF parted FOR VALUES IN ('{month}')")
    for month in months:
        for table in ("plain", "parted"):
            connection.execute(f"INSERT INTO {table} {ROWS}", {"month": month, "lines": lines})
    connection.execute("VACUUM ANALYZE")


def extra_months() -> list[str]:
    """The months that the measured inserts go to."""
    return [f"2099-{number + 1:02}" for number in range(ROUNDS + 1)]


def measure(connection: psycopg.Connection, months: list[str], lines: int) -> None:
    middle = months[len(months) // 2]

    def asks(sql: str) -> Callable[[str, int], None]:
        def ask(table: str, turn: int) -> None:
            values = {"month": middle, "invoice": f"{middle}{turn}", "patient": f"patient{turn}", "lines": lines}
            connection.execute(sql.format(table), values).fetchall()

        return ask

    def insert(table: str, turn: int) -> None:
        connection.execute(f"INSERT INTO {table} {ROWS}", {"month": extra_months()[turn], "lines": lines})

    def forget(table: str, turn: int) -> None:
        month = months[turn]
        drop = f'DROP TABLE "parted_{month}"' if table == "parted" else f"DELETE FROM plain WHERE cycle_key = '{month}'"
        connection.execute(drop)

    compare("insert a month", insert)
    compare(
        "a month's totals",
        asks("SELECT invoice_id, sum(quantity * unit_price_cents) FROM {} WHERE cycle_key = %(month)s GROUP BY 1"),
    )
    one = "SELECT * FROM {} WHERE invoice_id = md5(%(invoice)s)::uuid"
    compare("lines of an invoice", asks(one))
    compare("the same, month known", asks(f"{one} AND cycle_key = %(month)s"))
    compare("a patient's lines", asks("SELECT * FROM {} WHERE patient_reference = md5(%(patient)s)::uuid AND live"))
    compare("forget a month", forget)


def compare(what: str, work: Callable[[str, int], None]) -> None:
    taken: dict[str, list[float]] = {"plain": [], "parted": []}
    for turn in range(ROUNDS + 1):  # the first one warms
        for table, times in taken.items():
            start = time.perf_counter()
            work(table, turn)
            times.append(time.perf_counter() - start)
    plain, parted = (statistics.median(times[1:]) * 1000 for times in taken.values())
    print(f"{what:24} {plain:10.2f} {parted:10.2f} {parted / plain:8.2f} x")


def sizes(connection: psycopg.Connection) -> None:
    plain, parted = connection.execute(
        "SELECT pg_total_relation_size('plain'), (SELECT sum(pg_total_relation_size(relid))::bigint "
        "FROM pg_partition_tree('parted') WHERE isleaf)"
    ).fetchone()
    print(f"size in MB               {plain / 1e6:10.0f} {parted / 1e6:10.0f}")


if __name__ == "__main__":
    main()
