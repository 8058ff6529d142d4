"""Acknowledging a webhook beside a bare Django view that verifies the same signature: `python -m bench.webhook`.

Both are served by gunicorn with two workers, on PostgreSQL, and asked in turn over loopback. Prints the median of each,
their ratio (must be at most 2), then the tail of the product at 50 events a second (p99 must be under 200 ms).
"""

import argparse
import http.client
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.databases import databases
from sandbox.stripe_standin import sign

WORKERS, PER_SECOND = 2, 50
MOST_TIMES, SLOWEST_MS = 2.0, 200.0
SECRET = "whsec_test_current"  # of tests.settings
OURS, BARE = "/webhooks/stripe/", "/bare-webhook"


def main() -> None:
    """Serve, ask and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=1_500)
    arguments.add_argument("--seconds", type=int, default=30)
    given = arguments.parse_args()
    with databases() as ours:
        ours.create("webhook")
        environment = os.environ | {"DATABASE_URL": ours.url("webhook"), "DJANGO_SETTINGS_MODULE": "bench.served"}
        manage = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(manage, env=environment, check=True)
        with _gunicorn(environment) as port:
            _compare(port, given.rounds)
            _steady(port, given.seconds)


@contextmanager
def _gunicorn(environment: dict[str, str]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "gunicorn", "billing_project.wsgi:application", "--bind", f"127.0.0.1:{port}",
        "--workers", str(WORKERS), "--log-level", "error",
    ]  # fmt: skip
    server = subprocess.Popen(command, env=environment)
    try:
        _until_it_answers(port)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def _until_it_answers(port: int) -> None:
    for _ in range(200):
        try:
            _send(port, BARE)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("gunicorn does not answer")


def _send(port: int, path: str) -> float:
    """Post a fresh signed event; return the milliseconds until its answer."""
    event = f"evt_{secrets.token_hex(12)}"
    body = json.dumps(
        {
            "id": event, "object": "event", "type": "invoice.paid", "created": int(time.time()), "livemode": False,
            "api_version": "2026-10-28.endive", "data": {"object": {"id": "in_bench", "object": "invoice"}},
        }
    ).encode()  # fmt: skip
    headers = {"Stripe-Signature": sign(body, SECRET, int(time.time())), "Content-Type": "application/json"}
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    taken = (time.perf_counter() - start) * 1e3
    if response.status != 200:
        raise SystemExit(f"{path} answers {response.status}")
    return taken


def _compare(port: int, rounds: int) -> None:
    for path in (OURS, BARE) * 50:
        _send(port, path)
    taken: dict[str, list[float]] = {OURS: [], BARE: []}
    for _ in range(rounds):
        for path, times in taken.items():
            times.append(_send(port, path))
    ours, bare = statistics.median(taken[OURS]), statistics.median(taken[BARE])
    print(f"webhook {ours:6.2f} ms   bare view {bare:5.2f} ms   {ours / bare:5.2f} x  (must be at most {MOST_TIMES})")


def _steady(port: int, seconds: int) -> None:
    """Send PER_SECOND events a second whatever the answers take, as Stripe would, and tell the tail."""
    taken: list[float] = []
    threads: list[threading.Thread] = []
    start = time.perf_counter()
    for number in range(PER_SECOND * seconds):
        time.sleep(max(0.0, start + number / PER_SECOND - time.perf_counter()))
        threads.append(_in_thread(lambda: taken.append(_send(port, OURS))))
    for thread in threads:
        thread.join()
    p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
    print(f"{PER_SECOND} a second for {seconds} s: {len(taken)} of {PER_SECOND * seconds} answered, "
          f"p50 {p50:.1f} ms, p99 {p99:.1f} ms  (must be under {SLOWEST_MS:.0f})")  # fmt: skip


def _in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


if __name__ == "__main__":
    main()
