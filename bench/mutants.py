"""Mutants of encoder, guard, client and call sites: how many are blocked or noticed, and which survive.

`bin/bench mutants [NUMBER]` takes all of them, or NUMBER drawn by DRAW_SEED; `-m full` in the suite does the same.
"""

import os
import sys
from random import Random

from tests.mutants.catalogue import catalogue
from tests.mutants.run import Result, judge_all, summary


def main() -> None:
    """Judge them, tell of each, and print the score."""
    mutants = catalogue()
    seed = int(os.environ.get("DRAW_SEED", "1"))
    if len(sys.argv) > 1:
        mutants = Random(seed).sample(mutants, int(sys.argv[1]))
    results = judge_all(mutants, jobs=os.cpu_count() or 1, tell=_tell)
    print(f"seed {seed}", *summary(results), sep="\n")
    sys.exit(any(result.how == "survived" for result in results))


def _tell(result: Result) -> None:
    print(f"{result.how:9} {result.name}", flush=True)


if __name__ == "__main__":
    main()
