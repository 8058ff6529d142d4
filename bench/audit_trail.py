"""How long the audit trail takes to verify: `python -m bench.audit_trail [ENTRIES [STREAMS]]`, on PostgreSQL.

Verifies from the database and, with the stand-alone verifier, from an export; beside both the bare SHA-256 of the same
bytes. Then what a checkpoint costs with that many streams. Seconds, also those of the processor that our process had
(on a busy machine they tell more; the database's own are not in them), ratios of these, peak memory of each process.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.databases import databases

ROUNDS = 100  # checkpoints while the trail grows
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAME = "audit"


def main() -> None:
    entries, streams = (int(word) for word in (sys.argv[1:] + ["1000000", "10000"][len(sys.argv) - 1 :]))
    with databases() as server, TemporaryDirectory() as scratch:
        server.create(NAME)
        environment = os.environ | {"DATABASE_URL": server.url(NAME), "DJANGO_SETTINGS_MODULE": "tests.settings"}

        def run(task: str, *arguments: object) -> dict[str, Any]:
            words = [sys.executable, "-m", "bench.audit_trail", task, *map(str, arguments)]
            done = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            return json.loads(done.stdout.splitlines()[-1])

        folder = Path(scratch, "export")
        seeded = run("seed", entries, streams)
        with server.connect(NAME) as connection:
            connection.execute("VACUUM ANALYZE")
        told = {task: run(task, folder) for task in ("verify", "export", "stand_alone", "bare", "checkpoint")}
        print_all(entries, streams, seeded, told)


def print_all(entries: int, streams: int, seeded: dict[str, Any], told: dict[str, dict[str, Any]]) -> None:
    bare = told["bare"]["cpu"]
    print(f"{entries:,} entries in {streams:,} streams")
    print(f"{seeded['checkpoints']} checkpoints, {seeded['heads']:,} heads sealed")
    for task in ("bare", "verify", "export", "stand_alone"):
        seconds, cpu, peak = (told[task][name] for name in ("seconds", "cpu", "peak_mb"))
        print(f"{task:12} {seconds:8.2f} s, {cpu:8.2f} s of CPU, {cpu / bare:5.1f} x bare SHA-256, peak {peak:4.0f} MB")
    for name, seconds in told["checkpoint"]["times"].items():
        print(f"checkpoint, {name:12} {seconds * 1000:8.0f} ms")


# --- In a process of its own each, so that its memory is its own ---
def seed(entries: str, streams: str) -> dict[str, Any]:
    from django.core.management import call_command
    from django.db import transaction

    from audit.chain import Fact, record_many
    from audit.checkpoints import make_checkpoint
    from audit.models import Checkpoint, SealedHead

    call_command("migrate", verbosity=0)
    names, size = [f"office:clinic-{number:06}" for number in range(int(streams))], int(entries) // ROUNDS
    for number in range(ROUNDS):
        part = names[number % 10 :: 10] if number else names
        facts = [
            Fact(part[each % len(part)], "invoice.closed", {"invoice": f"{number}-{each}", "total_cents": each})
            for each in range(size)
        ]
        with transaction.atomic():
            record_many(facts, actor="system:beat", now=NOW)
        make_checkpoint(now=NOW)
    return {"checkpoints": Checkpoint.objects.count(), "heads": SealedHead.objects.count()}


def verify(_folder: str) -> dict[str, Any]:
    from audit.chain import verify_trail

    return timed(lambda: require(verify_trail().breaks == []))


def export(folder: str) -> dict[str, Any]:
    from audit.export import export_trail

    scope = {"streams": None, "since": None, "may_show": lambda *_: True, "now": NOW}
    return timed(lambda: export_trail(folder=Path(folder), **scope))


def stand_alone(folder: str) -> dict[str, Any]:
    from audit import signing
    from audit.standalone.verify_export import verify as verify_export

    key = signing.fingerprint(signing.public_keys()[0])
    return timed(lambda: require(verify_export(Path(folder), {key})[0].count == 0))


def bare(folder: str) -> dict[str, Any]:
    """Hash each line of the export by itself, and nothing else: the least that any verifier must do."""

    def hash_all() -> None:
        with (Path(folder) / "entries.jsonl").open("rb") as lines:
            for line in lines:
                hashlib.sha256(line).digest()

    return timed(hash_all)


def checkpoint(_folder: str) -> dict[str, Any]:
    from django.db import transaction

    from audit.chain import Fact, record_many
    from audit.checkpoints import make_checkpoint
    from audit.models import StreamHead

    names, times = list(StreamHead.objects.values_list("stream", flat=True)), {}
    for what, changed in {"nothing new": [], "one changed": names[:1], "all changed": names}.items():
        with transaction.atomic():
            record_many([Fact(name, "x.changed") for name in changed], actor="system:beat", now=NOW)
        times[what] = timed(lambda: make_checkpoint(now=NOW))["seconds"]
    return {"times": times}


def timed(work: Callable[[], Any]) -> dict[str, Any]:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def require(holds: object) -> None:
    if not holds:
        raise SystemExit("it does not verify")


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdigit():
        import django

        django.setup()
        tasks = (seed, verify, export, stand_alone, bare, checkpoint)
        print(json.dumps({task.__name__: task for task in tasks}[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
