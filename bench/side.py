"""One measured side in a process of its own: `python -m bench.side TASK INSTANT` (or `seed OFFICES PATIENTS`).

Prints one line of JSON. A fresh process each time, so that its peak memory is its own and nothing is warm on one side.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
os.environ.setdefault("BILLING_RUN_CAP_CENTS", str(10**12))  # any size may be billed here

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

import billing.cycle_opening  # noqa: E402
import billing.invoicing  # noqa: E402
from bench import hand_sql, naive  # noqa: E402
from bench.scenario import ACTOR, Size  # noqa: E402
from bench.seed import seed  # noqa: E402
from billing.billing_run import run_due  # noqa: E402


def main() -> None:
    task, arguments = sys.argv[1], sys.argv[2:]
    if task == "seed":
        call_command("migrate", verbosity=0)
        seed(Size(int(arguments[0]), int(arguments[1])))
        print("{}")
        return
    as_of = datetime.fromisoformat(arguments[0])
    connection.ensure_connection()
    with _audit_clock() as audit:
        start = time.perf_counter()
        _SIDES[task](as_of)
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "audit_seconds": audit[0], "peak_mb": _peak_mb()}))


def _ours(as_of: datetime) -> None:
    summary = run_due(as_of=as_of, actor=ACTOR, now=as_of)
    if summary.needs_attention:
        raise SystemExit(f"the run has problems: {summary.problems[:3]}")


def _hand(as_of: datetime) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, options="-c jit=off") as hand:
        hand_sql.run(hand, as_of, mailbox=settings.BILLING_FALLBACK_EMAIL)


_SIDES: dict[str, Callable[[datetime], None]] = {
    "ours": _ours,
    "hand": _hand,
    "bulk": naive.bulk_create,
    "objects": naive.object_by_object,
}


@contextmanager
def _audit_clock() -> Iterator[list[float]]:
    """Add up the time spent in the audit trail, database included."""
    spent = [0.0]
    kept = {module: module.record_many for module in (billing.cycle_opening, billing.invoicing)}

    def timed(*args: object, **kwargs: object) -> None:
        start = time.perf_counter()
        kept[billing.invoicing](*args, **kwargs)
        spent[0] += time.perf_counter() - start

    try:
        for module in kept:
            module.record_many = timed
        yield spent
    finally:
        for module, original in kept.items():
            module.record_many = original


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
