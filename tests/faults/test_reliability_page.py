"""docs/reliability.md is true: what it names is there, its figures are the harness's, and every bug can be planted."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.faults.hunts import AT_MOST
from tests.faults.planted import BUGS
from tests.faults.sizes import FULL, QUICK
from tests.faults.tiers import DRILLS
from tests.mutants.operators import path_of

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs/reliability.md").read_text(encoding="utf-8")


def table(title: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its head."""
    section = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@cache
def functions_in(path: str) -> set[str]:
    tree = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_is_shown_by_tests_and_drills_that_exist():
    for fault, _expected, shown in table("What happens when"):
        named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", shown)
        drills = re.findall(r"drill `(\w+)`", shown)
        assert named or drills, fault
        assert [drill for drill in drills if drill not in DRILLS] == [], fault
        assert [(path, test) for path, test in named if test and test not in functions_in(path)] == [], fault
        assert all((PROJECT / path).exists() for path, _test in named), fault


def test_the_drills_and_their_numbers_are_those_of_the_harness():
    rows = {row[0].strip("`"): row[2:] for row in table("The harness")}
    assert list(rows) == list(DRILLS)
    for drill in ("kills", "restarts", "events", "activations", "mixed"):
        numbers = [int(re.sub(r"\D", "", cell)) for cell in rows[drill]]
        assert numbers == [getattr(QUICK, drill), getattr(FULL, drill)], drill


def test_the_table_of_planted_bugs_is_the_catalogue_and_each_was_found_in_time():
    rows = table("Planted bugs")
    assert [(row[0], row[1]) for row in rows] == [(bug.name, bug.words) for bug in BUGS]
    assert all(0 <= int(row[2]) <= AT_MOST for row in rows)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_to_plant_changes_modules_that_still_compile(bug):
    sources = bug.sources()
    assert sources
    for module, source in sources.items():
        assert source != path_of(module).read_text(encoding="utf-8")
        compile(source, module, "exec")
