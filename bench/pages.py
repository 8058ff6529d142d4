"""Each page of the console on large books: questions asked of the database, and milliseconds.

    DATABASE_URL=postgres://... bin/bench pages [--offices 10000] [--cycles 100] [--lines 10] [--times 20] [--lean]

Makes a database of its own (with the numbers above 1,000,000 invoices and 10,000,000 lines, about 8 GB), looks at each
list, at a row of it and at the desks, and prints the slowest first. On a busy machine the column of processor time
tells more than the clock. `--keep` leaves the database for another look with `--again`. Exits 1 when a page asks more
than 15 questions or its 95th percentile is above 500 ms.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.console_books import BooksSize, row_id, write
from bench.databases import DEFAULT_URL, Databases

NAME = "pages"
MOST_QUESTIONS, MOST_MS = 15, 500
LONGEST_MS = 20_000  # that one page is looked at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offices", type=int, default=10_000)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--lines", type=int, default=10)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", help="only pages whose name holds this")
    parser.add_argument(
        "--lean", action="store_true", help="only invoices, lines and what they stand on: half the time"
    )
    parser.add_argument("--keep", action="store_true", help="do not drop the database")
    parser.add_argument("--again", action="store_true", help="use the database that was kept")
    options = parser.parse_args()
    # Of its own, so that a database that is kept outlives the other benchmarks.
    server = Databases(os.environ.get("DATABASE_URL", DEFAULT_URL), prefix="clinic_billing_console")
    if not options.again:
        server.create(NAME)
    try:
        os.environ |= {"DATABASE_URL": server.url(NAME), "DJANGO_SETTINGS_MODULE": "tests.settings"}
        start_django()
        size = BooksSize(options.offices, options.cycles, options.lines)
        if not options.again:
            with server.connect(NAME) as connection:
                write(connection, size, lean=options.lean)
            keep_balances()
        sys.exit(0 if measure(size, options.times, options.only) else 1)
    finally:
        if not options.keep:
            server.drop(NAME)


def start_django() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def keep_balances() -> None:
    """Add up all months once, as the end of a comparison does, and say how long that took."""
    from billing.models import ReconciliationRun
    from billing.reconciliation.balance import as_text, balances

    started = time.monotonic()
    ReconciliationRun.objects.update(balances=as_text(balances()))
    print(f"  balances of all months: {time.monotonic() - started:.1f} s", flush=True)


def pages(size: BooksSize) -> Iterator[tuple[str, str]]:
    """Yield a name and an address for each page that is measured."""
    from django.contrib import admin
    from django.contrib.admin.utils import quote
    from django.urls import reverse

    month, middle = _last_month(), size.invoices // 2
    invoice, office = row_id(2, middle), row_id(1, size.offices // 2)
    lists = {model: f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}
    yield "overview", reverse("admin:index")
    yield "desk", reverse("admin:billing_reconciliationrun_desk")
    yield "desk, all months", reverse("admin:billing_reconciliationrun_desk") + "?month=all"
    yield "begin a comparison", reverse("admin:billing_reconciliationrun_compare")
    yield "balance", reverse("admin:billing_discrepancy_balance")
    yield "close a month", reverse("admin:billing_monthclose_month") + f"?month={month}"
    for model, page in lists.items():
        yield f"list {page}", reverse(f"admin:{page}_changelist")
        key = _some_key(model, invoice, office, size)
        if key is not None:
            yield f"row {page}", reverse(f"admin:{page}_change", args=[quote(key)])
    for page, queries in _asked(month, invoice).items():
        for query in queries:
            yield f"list {page}?{query}", f"{reverse(f'admin:{page}_changelist')}?{query}"


def _asked(month: str, invoice: str) -> dict[str, list[str]]:
    """Return the filters and searches that are measured besides."""
    statuses = [f"status__exact={each}" for each in ("draft", "sent", "paid", "failed", "canceled")]
    return {
        "billing_invoice": [
            *statuses, f"cycle={month}", "age=90%2B", "age=0-30", "q=office-000500", "q=in_500000", f"q={invoice}",
            "p=50", f"cycle={month}&status__exact=sent", "invoice_type__exact=one_off", "origin__exact=backfill",
        ],
        "billing_lineitem": [f"cycle={month}", "item_type__exact=adjustment", f"q={invoice}", "live__exact=0", "p=50"],
        "billing_payment": [f"cycle={month}", "status__exact=open", "q=office-000500"],
        "billing_billingcycle": [f"cycle={month}", "closed_at__isempty=1", "status__exact=trialing", "q=office-000500"],
        "billing_outboxmessage": ["status__in=dead,parked", "status__exact=pending", "q=office-000500"],
        "billing_stripeevent": ["status__in=quarantined,dead", "q=in_500000"],
        "billing_discrepancy": [
            "status__exact=open", "owned=nobody", "found=older", "stake=large", f"cycle={month}", "kind__exact=total",
            f"run__id__exact={row_id(6, 1)}", "status__exact=open&owned=me",
        ],
        "offices_office": ["due=now", "due=overdue", "past_due_since__isempty=0"],
        "audit_auditentry": ["q=office:office-000500"],
    }  # fmt: skip


def _last_month() -> str:
    from django.utils import timezone

    now = timezone.now()
    return f"{now.year if now.month > 1 else now.year - 1}-{now.month - 1 or 12:02d}"


def _some_key(model, invoice: str, office: str, size: BooksSize):
    """Return the key of a row in the middle; of models that were not written the key of any row, or None."""
    known = {
        "invoice": invoice, "office": office, "lineitem": row_id(4, size.invoices * size.lines // 2),
        "patient": row_id(3, size.offices * size.lines // 2),
    }  # fmt: skip
    if model._meta.model_name in {"outboxmessage", "officestripeaccount"}:
        return None  # their pages open sealed texts, which these rows do not have
    key = known.get(model._meta.model_name)
    return key or model._default_manager.values_list("pk", flat=True).order_by("pk").first()


def measure(size: BooksSize, times: int, only: str) -> bool:
    """Look at each page, print the table, and return whether all of them are within bounds."""
    from django.contrib.auth.models import User

    from tests.staff import logged_in, member

    boss = User.objects.filter(username="bench").first() or member("bench", superuser=True)
    client, rows = logged_in(boss), []
    backend = _backend()
    for name, address in pages(size):
        if only in name:
            rows.append(_look(client, backend, name, address, times))
    print(f"{'page':62} {'questions':>9} {'median':>8} {'p95':>8} {'cpu':>8}   (ms)")
    for row in sorted(rows, key=lambda row: -row.p95):
        note = "" if row.status == 200 else f"  answered {row.status}"
        print(f"{row.name[:62]:62} {row.questions:9} {row.median:8.0f} {row.p95:8.0f} {row.cpu:8.0f}{note}")
    fine = all(row.p95 <= MOST_MS and row.questions <= MOST_QUESTIONS for row in rows)
    print(f"{len(rows)} pages: {'all' if fine else 'not all'} within {MOST_QUESTIONS} questions and {MOST_MS} ms")
    return fine


@dataclass(frozen=True, slots=True)
class Look:
    """What one page took: milliseconds by the clock, and of processors, ours and the database's together."""

    name: str
    status: int
    questions: int
    median: float
    p95: float
    cpu: float


def _look(client, backend: int, name: str, address: str, times: int) -> Look:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as asked:
        status = client.get(address).status_code
    questions = list(asked.captured_queries)  # the next request forgets them
    took, before = [], time.process_time() * 1000 + _cpu_ms(backend)
    while len(took) < times and sum(took) < LONGEST_MS:
        started = time.perf_counter()
        client.get(address)
        took.append((time.perf_counter() - started) * 1000)
    cpu = (time.process_time() * 1000 + _cpu_ms(backend) - before) / len(took)
    if cpu > MOST_MS:
        slow = max(questions, key=lambda each: float(each["time"]))
        print(f"slow: {name}: {slow['time']} s: {slow['sql'][:1500]}", flush=True)
    p95 = statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
    return Look(name, status, len(questions), statistics.median(took), p95, cpu)


def _backend() -> int:
    """Return the process that answers us, which does all of the work itself from now on."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def _cpu_ms(process: int) -> float:
    """Return the processor time of a process on this machine, or 0 where the database runs elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
