"""Mutants of what stands between the ledger and Stripe are blocked or noticed; CI takes a sample, `-m full` all."""

import os
import re
from random import Random

import pytest

from tests.mutants.catalogue import catalogue
from tests.mutants.operators import Mutant, path_of
from tests.mutants.run import Result, judge_all, summary

SAMPLE = 30
# Mutants that change nothing that could be seen, each with the reason; names without the line.
EQUIVALENT = {
    "stripe_gateway.policy: metadata[kind] takes any text": "another rule lets only a kind with its own text pass",
}
SEED = int(os.environ["DRAW_SEED"])
JOBS = int(os.environ.get("MUTANT_JOBS", "2"))


# Some mutants change nothing that can be seen; a sample of which more survive has lost a judge.
MOST_SURVIVORS = 6


def judged(mutants: list[Mutant]) -> list[Result]:
    """Return the survivors, and print the score."""
    results = judge_all(mutants, jobs=JOBS, tell=lambda _result: None)
    print(f"seed {SEED}", *summary(results), sep="\n")  # noqa: T201 - the score is what it is run for
    assert len(results) == len(mutants)
    return [result for result in results if result.how == "survived"]


def test_there_are_as_many_as_it_says_and_each_changes_something():
    mutants = catalogue()
    assert len(mutants) >= 300
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        assert all(source != path_of(module).read_text(encoding="utf-8") for module, source in mutant.sources.items())


def test_no_mutant_of_a_sample_leaks_unseen_and_most_are_caught():
    mutants = [mutant for mutant in catalogue() if not is_equivalent(mutant)]
    survivors = judged(Random(SEED).sample(mutants, SAMPLE))
    names = [each.name for each in survivors]
    assert [each.name for each in survivors if each.leaked] == [], f"DRAW_SEED={SEED}"
    assert len(survivors) <= MOST_SURVIVORS, (f"DRAW_SEED={SEED}", names)


@pytest.mark.full
def test_every_mutant_is_caught():
    assert [each.name for each in judged([mutant for mutant in catalogue() if not is_equivalent(mutant)])] == []


def is_equivalent(mutant: Mutant) -> bool:
    return re.sub(r":[0-9]+ ", ": ", mutant.name) in EQUIVALENT
