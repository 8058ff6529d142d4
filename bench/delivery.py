"""What delivery processes make of Stripe's rate: `bin/bench delivery [--offices N] [--rates 20] [--processes 4,8]`.

On PostgreSQL and a Redis (CACHE_URL), against the stand-in in a process of its own that takes as long to answer as
Stripe does. For each rate and number of processes: requests a second over the configured rate, what an invoice costs
in requests and statements, and how the work was shared. Fails when no number of processes keeps 90% of a rate, or an
invoice costs more than two writes, one for each item, and one read.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

from bench.databases import databases

KEPT_MUST = 0.9  # of the configured rate
LATENCY = "0.2"  # seconds; Stripe takes 200 to 400 ms for a write


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench delivery", description=__doc__)
    parser.add_argument("--offices", type=int, default=200)
    parser.add_argument("--rates", default="20,50")
    parser.add_argument("--processes", default="1,4,8", help="each waits for one answer of Stripe at a time")
    options = parser.parse_args()
    failed = False
    with databases() as server:
        print(
            "rate/s  processes  requests/s   kept  writes/invoice  reads/invoice  statements/invoice  CPU each  shared"
        )
        for rate in map(int, options.rates.split(",")):
            kept = []
            for processes in map(int, options.processes.split(",")):
                server.create("delivery")
                told = measure({"DATABASE_URL": server.url("delivery")}, options.offices, rate, processes)
                kept.append(told["kept"])
                failed |= told["writes"] > told["must"] or told["reads"] > 1
                print(
                    f"{rate:6} {processes:10} {told['rate']:11.1f} {told['kept']:6.0%} {told['writes']:15.2f} "
                    f"{told['reads']:14.2f} {told['statements']:19.1f} {told['cpu']:9.0f} ms  {told['shared']}"
                )
            failed |= max(kept) < KEPT_MUST
    sys.exit(failed)


def measure(database: dict[str, str], offices: int, rate: int, processes: int) -> dict:
    environment = {**os.environ, **database, "STRIPE_RATE_PER_SECOND": str(rate)}
    environment.setdefault("CACHE_URL", "rediscache://127.0.0.1:6379/0")
    with stand_in() as (server, address):
        environment["STRIPE_API_BASE"] = address
        seeded = finish(start("seed", environment, str(offices)))
        ask(server, "forget")
        begin = time.time() + 1  # a moment at which all of them are ready, or late by themselves
        drains = [start("drain", environment, str(begin)) for _ in range(processes)]
        told = [finish(drain) for drain in drains]
        counts = Counter(ask(server, "counts"))
    seconds = max(each["ended"] for each in told) - min(each["began"] for each in told)
    writes = sum(number for what, number in counts.items() if what.startswith("POST"))
    requests, invoices = sum(counts.values()), seeded["invoices"]
    return {
        "must": 2 + seeded["items"] / invoices,
        "rate": requests / seconds,
        "kept": requests / seconds / rate,
        "writes": writes / invoices,
        "reads": (requests - writes) / invoices,
        "statements": sum(each["statements"] for each in told) / invoices,
        "cpu": sum(each["cpu"] for each in told) * 1000 / requests,
        "shared": " ".join(str(each["delivered"]) for each in told),
    }


# --- Processes ---
def start(task: str, environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "bench.delivery_side", task, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> dict:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit("a process of the benchmark failed")
    return json.loads(out.splitlines()[-1])


@contextmanager
def stand_in():
    command = [sys.executable, "-m", "bench.delivery_side", "stripe", LATENCY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server, json.loads(server.stdout.readline())
        finally:
            server.terminate()


def ask(server: subprocess.Popen, what: str) -> dict:
    server.stdin.write(what + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


if __name__ == "__main__":
    main()
