"""Judge mutants in warm processes, and print the score and the survivors."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.operators import ROOT, Mutant


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant: `how` is blocked, noticed, tests or survived."""

    name: str
    how: str
    leaked: bool
    problems: tuple[str, ...]


class Warm:
    """One warm process."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": f"sqlite:///{folder / 'mutants.sqlite3'}",
        }
        for name in ("REDIS_URL", "CACHE_URL", "CELERY_BROKER_URL", "PYTEST_XDIST_WORKER"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.warm"], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.honest = self._answer()

    def judge(self, mutant: Mutant) -> Result:
        self._process.stdin.write(json.dumps({"sources": mutant.sources}) + "\n")
        self._process.stdin.flush()
        return _result(mutant.name, self._answer())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        return json.loads(self._process.stdout.readline())


def _result(name: str, said: dict[str, Any]) -> Result:
    problems = tuple(said["problems"])
    if problems:
        how = "blocked" if said["blocked"] and not said["leaked"] else "noticed"
    else:
        how = "tests" if said.get("tests_failed") else "survived"
    return Result(name, how, said["leaked"], problems)


@contextmanager
def warm(number: int) -> Iterator[list[Warm]]:
    """Start that many warm processes."""
    with tempfile.TemporaryDirectory() as folder:
        started = []
        for each in range(number):
            (Path(folder) / str(each)).mkdir()
            started.append(Warm(Path(folder) / str(each)))
        try:
            yield started
        finally:
            for process in started:
                process.close()


def judge_all(mutants: Iterable[Mutant], *, jobs: int, tell: Callable[[Result], None]) -> list[Result]:
    """Judge them and return the results; the honest flow must hold first, or nothing would be said by its breaking."""
    todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        todo.put(mutant)
    results: list[Result] = []

    def work(process: Warm) -> None:
        while True:
            try:
                mutant = todo.get_nowait()
            except queue.Empty:
                return
            result = process.judge(mutant)
            results.append(result)
            tell(result)

    with warm(jobs) as processes:
        for process in processes:
            assert process.honest["problems"] == [], process.honest["problems"]
        # The harness can find nothing: what changes nothing survives.
        assert processes[0].judge(Mutant("nothing", {})).how == "survived"
        threads = [threading.Thread(target=work, args=[process]) for process in processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def summary(results: Iterable[Result]) -> list[str]:
    """Return the score and the survivors, as lines."""
    results = list(results)
    counts = Counter(result.how for result in results)
    caught = len(results) - counts["survived"]
    return [
        f"{caught} of {len(results)} mutants are caught ({100 * caught / max(len(results), 1):.1f} %)",
        f"  {counts['blocked']:4} blocked at run time: nothing else left than without the mutant",
        f"  {counts['noticed']:4} noticed by the flow of the suite"
        f" ({sum(each.leaked for each in results if each.how == 'noticed')} of them sent something else)",
        f"  {counts['tests']:4} noticed by the gateway's own tests",
        f"  {counts['survived']:4} survived",
        *(
            f"       survived: {result.name}"
            for result in sorted(results, key=lambda each: each.name)
            if result.how == "survived"
        ),
    ]
