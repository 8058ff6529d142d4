"""The monthly run beside hand-written SQL on PostgreSQL: `bin/bench billing_run [--small] [--offices N --patients M]`.

Both sides start from copies of one database and make the same rows (checked after every run), one after the other in
each round, so that their ratio survives a busy machine. The hand-written side seals its audit entries with the same
HMAC chain. It leaves out what only the product promises: adjustments, safety bounds, waived cycles, parking, caps.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from bench.databases import Databases, databases
from bench.same_rows import billed_cents, fingerprint
from bench.scenario import FIRST_RUN_AT, MONTH_END_AT, Size

RATIO_MUST, MEMORY_MUST_MB, FLAT_MUST, RERUN_MUST, AUDIT_MUST = 1.3, 200, 1.3, 0.30, 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of one side on one task."""

    seconds: float
    audit_share: float
    peak_mb: float


def main() -> None:
    options = _options()
    full = Size(options.offices, options.patients)
    tenth = Size(max(full.offices // 10, 1), full.patients)
    naive = Size(max(full.offices // 100, 1), full.patients)
    with databases() as server:
        for size in (naive, tenth, full):
            _prepare(server, size)
        verdicts = [
            *_compare(server, (tenth, full), "the first run", "seeded", FIRST_RUN_AT, options.rounds),
            *_compare(server, (tenth, full), "the month end", "opened", MONTH_END_AT, options.rounds),
            *_rerun(server, full),
        ]
        _two_processes(server, full)
        _naive(server, naive)
    failed = [text for text, kept in verdicts if not kept]
    print("\nAll bounds are kept." if not failed else "\nBroken:\n  " + "\n  ".join(failed))
    sys.exit(bool(failed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench billing_run", description=__doc__)
    parser.add_argument("--offices", type=int, default=10_000)
    parser.add_argument("--patients", type=int, default=100, help="of each office")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--small", action="store_true", help="a tenth of the offices, for a first look")
    options = parser.parse_args()
    options.offices = options.offices // 10 if options.small else options.offices
    return options


def _side(server: Databases, database: str, task: str, *arguments: object) -> dict[str, float]:
    """Run one task in a process of its own and return what it measured."""
    environment = {**os.environ, "DATABASE_URL": server.url(database)}
    command = [sys.executable, "-m", "bench.side", task, *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _prepare(server: Databases, size: Size) -> None:
    """Make the two states to start from: nothing billed yet, and a first cycle that is open and has its lines."""
    print(f"preparing {size} ...", flush=True)
    server.create("work")
    _side(server, "work", "seed", size.offices, size.patients)
    server.rename("work", f"seeded_{size.lines}")
    server.copy(f"seeded_{size.lines}", "work")
    _side(server, "work", "ours", FIRST_RUN_AT.isoformat())
    server.rename("work", f"opened_{size.lines}")


def _measure(server: Databases, start: str, size: Size, sides: list[str], at: datetime, rounds: int) -> list[Measured]:
    """Run the sides in turn, `rounds` times, each on a fresh copy; stop when one makes other rows than the first."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    expected = None
    for _ in range(rounds):
        for side in sides:
            server.copy(f"{start}_{size.lines}", "work")
            runs[side].append(_side(server, "work", side, at.isoformat()))
            with server.connect("work") as connection:
                made = (fingerprint(connection), billed_cents(connection))
            expected = expected or made
            if made != expected:
                raise SystemExit(f"{side} made other rows than {sides[0]}:\n{expected}\n{made}")
    return [_median(runs[side]) for side in sides]


def _median(runs: list[dict[str, float]]) -> Measured:
    return Measured(
        seconds=median(run["seconds"] for run in runs),
        audit_share=median(run["audit_seconds"] / run["seconds"] for run in runs),
        peak_mb=max(run["peak_mb"] for run in runs),
    )


def _compare(
    server: Databases, sizes: tuple[Size, Size], name: str, start: str, at: datetime, rounds: int
) -> list[tuple[str, bool]]:
    print(f"\n{name}: median of {rounds}, interleaved; both sides made the same rows")
    measured = []
    for size in sizes:
        ours, hand = _measure(server, start, size, ["ours", "hand"], at, rounds)
        measured.append(ours)
        for side, figures in (("ours", ours), ("hand-written SQL", hand)):
            print(
                f"  {size.lines:>9,} lines  {side:<16} {figures.seconds:7.2f} s {size.lines / figures.seconds:9,.0f}"
                f" lines/s  peak {figures.peak_mb:4.0f} MB"
            )
        print(f"  {'':>9}  ratio {ours.seconds / hand.seconds:.2f}, share of audit {_percent(ours.audit_share)}")
    small, large = measured
    growth = large.seconds / sizes[1].lines / (small.seconds / sizes[0].lines)
    return [
        _judge(f"{name}: ratio to hand-written SQL", ours.seconds / hand.seconds, RATIO_MUST),
        _judge(f"{name}: share of audit", ours.audit_share, AUDIT_MUST, _percent),
        _judge(f"{name}: time per line, large to small", growth, FLAT_MUST),
        _judge(f"{name}: peak memory of the process, MB", large.peak_mb, MEMORY_MUST_MB),
        _judge(f"{name}: memory, large to small, MB", large.peak_mb - small.peak_mb, 10),
    ]


def _rerun(server: Databases, size: Size) -> list[tuple[str, bool]]:
    """Run a month end and the same again: all is billed by then."""
    server.copy(f"opened_{size.lines}", "work")
    first = _side(server, "work", "ours", MONTH_END_AT.isoformat())["seconds"]
    again = _side(server, "work", "ours", MONTH_END_AT.isoformat())["seconds"]
    print("\nthe same run again")
    return [_judge(f"{size.lines:,} lines: rerun to first run", again / first, RERUN_MUST, _percent)]


def _two_processes(server: Databases, size: Size) -> None:
    """Let two runs share the work: each takes the offices that the other does not hold."""
    server.copy(f"opened_{size.lines}", "work")
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(_side, server, "work", "ours", MONTH_END_AT.isoformat()) for _ in range(2)]
        seconds = max(run.result()["seconds"] for run in runs)
    print(f"\ntwo processes at once, the month end: {seconds:.2f} s, {size.lines / seconds:,.0f} lines/s")


def _naive(server: Databases, size: Size) -> None:
    sides = ["ours", "hand", "bulk", "objects"]
    print(f"\nbeside the naive ways, {size}, the month end; all made the same rows")
    for side, figures in zip(sides, _measure(server, "opened", size, sides, MONTH_END_AT, 1), strict=True):
        print(f"  {side:<10} {figures.seconds:7.2f} s {size.lines / figures.seconds:9,.0f} lines/s")


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _judge(name: str, value: float, bound: float, show: Callable[[float], str] = "{:.2f}".format) -> tuple[str, bool]:
    text = f"{name} {show(value)} (at most {show(bound)})"
    print(f"  {'ok ' if value <= bound else 'NOT'} {text}")
    return text, value <= bound


if __name__ == "__main__":
    main()
