"""Mutants made by rule from the syntax tree of the real modules: what a slip of the hand could change there."""

import ast
import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAK = "Qzxwyk Leak 1931-07-04"
_FLIPPED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the sources of the modules it changes, and a name that says where and what."""

    name: str
    sources: dict[str, str]


def path_of(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


Change = tuple[str, str, str]


def changed(words: str, changes: Iterable[Change]) -> dict[str, str]:
    """Return the sources of the modules with each text replaced; raise LookupError for one that is not there."""
    sources: dict[str, str] = {}
    for module, old, new in changes:
        source = sources.get(module) or path_of(module).read_text(encoding="utf-8")
        if old not in source:
            raise LookupError(f"'{words}': {module} does not say any more: {old}")
        sources[module] = source.replace(old, new, 1)
    return sources


def mutants_of(module: str, functions: str = "", *, values_only: bool = False) -> Iterator[Mutant]:
    """Yield every mutant of the module, or of those of its functions whose qualified name starts so.

    `values_only` changes what is handed on, and leaves the flow of control as it is.
    """
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    for path, function in _functions(tree, functions):
        for index, node in enumerate(ast.walk(function)):
            for what, change in _values(node) if values_only else [*_values(node), *_control(node)]:
                mutated = copy.deepcopy(tree)
                target = list(ast.walk(_at(mutated, path)))[index]
                change(target)
                name = f"{module.removeprefix('billing.')}:{getattr(node, 'lineno', function.lineno)} {what}"
                yield Mutant(name, {module: ast.unparse(ast.fix_missing_locations(mutated))})


def _functions(tree: ast.Module, wanted: str) -> Iterator[tuple[tuple[int, ...], ast.FunctionDef]]:
    for first, node in enumerate(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name.startswith(wanted):
            yield (first,), node
        elif isinstance(node, ast.ClassDef):
            for second, inner in enumerate(node.body):
                if isinstance(inner, ast.FunctionDef) and f"{node.name}.{inner.name}".startswith(wanted):
                    yield (first, second), inner


def _at(tree: ast.Module, path: tuple[int, ...]) -> ast.AST:
    node: ast.AST = tree
    for step in path:
        node = node.body[step]
    return node


def _values(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    """Yield what can be handed on instead, as words and as a change in place."""
    if isinstance(node, ast.Dict):
        yield from _of_a_mapping(node)
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) == 2:
        yield from _of_a_pair(node)
    if isinstance(node, ast.Call):
        yield from _of_a_call(node)


def _control(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    """Yield what can be skipped, turned round or left out."""
    if isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Constant):
        yield f"skipped: if {_words(node.test)}", _set("test", ast.Constant(value=False))
        yield f"always: if {_words(node.test)}", _set("test", ast.Constant(value=True))
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _FLIPPED:
        yield f"flipped: {_words(node)}", _set("ops", [_FLIPPED[type(node.ops[0])](), *node.ops[1:]])
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"and for or: {_words(node)}", _set("op", other)
    if isinstance(node, ast.FunctionDef | ast.If | ast.For | ast.Try | ast.With | ast.ExceptHandler):
        for name in ("body", "orelse"):
            for index, statement in enumerate(getattr(node, name, ())):
                if _may_go(statement):
                    yield f"left out: {_words(statement)}", _without(name, index)


def _of_a_mapping(node: ast.Dict) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    for index, key in enumerate(node.keys):
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            continue
        yield f"{key.value} renamed", _set_item("keys", index, ast.Constant(value=f"{key.value}s"))
        yield f"{key.value} says a leak", _set_item("values", index, ast.Constant(value=LEAK))


def _of_a_pair(node: ast.Tuple) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    name = node.elts[0]
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return
    yield f"{name.value} renamed", _set_item("elts", 0, ast.Constant(value=f"{name.value}s"))
    yield f"{name.value} says a leak", _set_item("elts", 1, ast.Constant(value=LEAK))
    yield f"{name.value} goes as metadata", _set_item("elts", 0, ast.Constant(value="metadata[patient]"))


def _of_a_call(node: ast.Call) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in {None, "actor", "now", "clock"} and not isinstance(keyword.value, ast.Constant):
            shown = f"{_words(node.func)}({keyword.arg}=...)"
            yield f"{shown} is None", _set_keyword(index, ast.Constant(value=None))
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in {"Count", "Cents", "UnixTime"} and node.args:
        yield (
            f"{name} plus one",
            _set("args", [ast.BinOp(left=node.args[0], op=ast.Add(), right=ast.Constant(value=1))]),
        )
    # Where a next page begins is read from Stripe's own list, of more than a hundred objects: the flow is shorter.
    if (
        name in {"StripeId", "str"}
        and node.args
        and "[-1]" not in ast.unparse(node)
        and "after" not in ast.unparse(node)
    ):
        yield f"{name} of a leak", _set("args", [ast.Constant(value="cus_Qzxwykfaaaaa")])
    if name == "OwnId" and node.args:
        yield (
            "OwnId of a patient",
            _set(
                "args", [ast.parse("__import__('patients.models').models.Patient.objects.first().pk", mode="eval").body]
            ),
        )
    if name == "ApprovedProfile" and node.args:
        yield "profile of the office's own words", _set("args", [ast.Constant(value="Qzxwyk Clinic"), *node.args[1:]])


def _may_go(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call)
    return isinstance(statement, ast.Raise | ast.Delete | ast.AugAssign) or (
        isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute | ast.Subscript)
    )


def _words(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:70]


def _set(name: str, value: object) -> Callable[[ast.AST], None]:
    return lambda node: setattr(node, name, value)


def _set_item(name: str, index: int, value: ast.AST) -> Callable[[ast.AST], None]:
    return lambda node: getattr(node, name).__setitem__(index, value)


def _set_keyword(index: int, value: ast.expr) -> Callable[[ast.AST], None]:
    return lambda node: setattr(node.keywords[index], "value", value)


def _without(name: str, index: int) -> Callable[[ast.AST], None]:
    return lambda node: getattr(node, name).__setitem__(index, ast.Pass())
