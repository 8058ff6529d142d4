"""Mutants of the policy table: a grammar that takes any text, a variable taken for a constant, a name let in."""

import ast
import copy
from collections.abc import Iterator

from tests.mutants.operators import Mutant, mutants_of, path_of

_MODULE = "billing.stripe_gateway.policy"
_ANYTHING = ast.parse('like("[ -~]*")', mode="eval").body
_CONSTANTLY_ANYTHING = ast.parse('__import__("dataclasses").replace(like("[ -~]*"), variable=False)', mode="eval").body
_OPTIONAL = ast.parse('like("[ -~]*", required=False)', mode="eval").body


def policy_mutants() -> Iterator[Mutant]:
    """Yield a few mutants of each parameter of the table, and those by rule of its functions."""
    tree = ast.parse(path_of(_MODULE).read_text(encoding="utf-8"))
    for index, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Dict):
            for position, key in enumerate(node.keys):
                if isinstance(key, ast.Constant) and isinstance(node.values[position], ast.Call | ast.Name):
                    yield from _of_a_parameter(tree, index, position, f"{node.lineno} {key.value}")
    yield from mutants_of(_MODULE, "_invoice_disagrees")
    yield from mutants_of(_MODULE, "_item_disagrees")


def _of_a_parameter(tree: ast.Module, index: int, position: int, where: str) -> Iterator[Mutant]:
    for words, value in (("takes any text", _ANYTHING), ("is not compared", _CONSTANTLY_ANYTHING)):
        mutated = copy.deepcopy(tree)
        list(ast.walk(mutated))[index].values[position] = value
        yield _mutant(mutated, f"{where} {words}")
    if position == 0:
        mutated = copy.deepcopy(tree)
        mapping = list(ast.walk(mutated))[index]
        mapping.keys.append(ast.Constant(value="metadata[note]"))
        mapping.values.append(_OPTIONAL)
        yield _mutant(mutated, f"{where} has a note beside it")


def _mutant(tree: ast.Module, words: str) -> Mutant:
    return Mutant(f"stripe_gateway.policy:{words}", {_MODULE: ast.unparse(ast.fix_missing_locations(tree))})
