"""Put a changed source in place of a module that is already loaded, so that whoever imported from it gets the change.

Functions keep their identity and get new code. What a module says at its top is evaluated again, and every module that
imported such a value gets the new one.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any


def apply(name: str, source: str) -> None:
    """Change the module."""
    module = importlib.import_module(name)
    compiled = compile(source, module.__file__ or name, "exec")
    codes = dict(_codes(compiled))
    for function in _functions(module):
        code = codes.get(function.__qualname__)
        if code is not None and len(code.co_freevars) == len(function.__code__.co_freevars):
            function.__code__ = code
    _replace_values(module, compiled)


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant.co_qualname, constant
            yield from _codes(constant)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            for attribute in vars(value).values():
                yield from _unwrapped(attribute, module.__name__)
        else:
            yield from _unwrapped(value, module.__name__)


def _unwrapped(value: Any, name: str) -> Iterator[FunctionType]:
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value)
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, FunctionType) and value.__module__ == name:
        yield value


def _replace_values(module: ModuleType, compiled: CodeType) -> None:
    fresh = ModuleType(module.__name__)
    fresh.__dict__.update(__file__=module.__file__, __package__=module.__package__)
    before = sys.modules[module.__name__]
    sys.modules[module.__name__] = fresh  # for dataclasses, which look their module up
    try:
        exec(compiled, fresh.__dict__)
    finally:
        sys.modules[module.__name__] = before
    for name, new in vars(fresh).items():
        old = vars(module).get(name)
        # What can be called keeps its identity: it has new code already, or is another module's.
        plain = not callable(new) and not isinstance(new, ModuleType) and not name.startswith("__")
        if plain and name in vars(module) and repr(old) != repr(new):
            for loaded in list(sys.modules.values()):
                if getattr(loaded, "__dict__", {}).get(name) is old:
                    setattr(loaded, name, new)
