"""A whole reconciliation on PostgreSQL, a tenth and all of N invoices: `bin/bench reconciliation [--invoices N]`.

Our books and Stripe's lists agree; the lists come over HTTP from another process. Prints seconds, invoices a second and
peak memory, and fails when memory grows with the number of invoices.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import contextmanager

from bench.databases import databases

GROWTH_MUST_MB = 10  # performance.md: memory within 10 MB from a tenth to all


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench reconciliation", description=__doc__)
    parser.add_argument("--invoices", type=int, default=100_000)
    invoices = parser.parse_args().invoices
    peaks = []
    with databases() as server:
        for size in (invoices // 10, invoices):
            server.create("reconcile")
            environment = {**os.environ, "DATABASE_URL": server.url("reconcile")}
            _side(environment, "seed", str(size))
            with server.connect("reconcile") as connection:
                connection.execute("VACUUM ANALYZE")
            with _lists(size) as address:
                told = _side({**environment, "STRIPE_API_BASE": address}, "run")
            peaks.append(told["peak_mb"])
            print(
                f"{size:>9,} invoices: {told['seconds']:7.1f} s, {size / told['seconds']:7,.0f} a second,"
                f" peak {told['peak_mb']:5.0f} MB"
            )
    grown = peaks[1] - peaks[0]
    print(f"memory grew by {grown:.0f} MB, at most {GROWTH_MUST_MB} are allowed")
    sys.exit(grown > GROWTH_MUST_MB)


def _side(environment: dict[str, str], *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.reconciliation_side", *arguments]
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


@contextmanager
def _lists(size: int):
    command = [sys.executable, "-m", "bench.list_pages", str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
