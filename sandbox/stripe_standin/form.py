"""Stripe's form encoding: `lines[0][description]=x` becomes nested dictionaries of text."""

import re
from typing import TypeAlias
from urllib.parse import parse_qsl

from sandbox.stripe_standin.errors import invalid_parameter

# Rows arrive as a dictionary of positions; only the typed parameters know which dictionaries are lists.
FormValue: TypeAlias = "str | dict[str, FormValue]"
Form: TypeAlias = "dict[str, FormValue]"

_NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
# Stripe's own parameters never nest deeper than 6; the bound keeps a hostile body from exhausting the stack.
MAX_DEPTH = 12


def decode(encoded: str) -> Form:
    """Decode a query string or a form body."""
    form: Form = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        _place(form, _segments(name), value, name)
    return form


def flat_pairs(encoded: str) -> list[tuple[str, str]]:
    """Return the sorted name and value pairs: what an idempotency key compares."""
    return sorted(parse_qsl(encoded, keep_blank_values=True))


def _segments(name: str) -> list[str]:
    match = _NAME.match(name)
    if not match:
        raise _malformed(name)
    segments = [match[1], *(part[:-1] for part in match[2].split("[")[1:])]
    if len(segments) > MAX_DEPTH:
        raise _malformed(name)
    return segments


def _place(form: Form, segments: list[str], value: str, name: str) -> None:
    branch = form
    for segment in segments[:-1]:
        # `expand[]=a&expand[]=b` appends, as the indexed form does.
        below = branch.setdefault(segment or str(len(branch)), {})
        if isinstance(below, str):
            raise _malformed(name)
        branch = below
    branch[segments[-1] or str(len(branch))] = value


def _malformed(name: str) -> Exception:
    return invalid_parameter(f"Invalid parameter name: {name[:100]}", param=name[:100], code="parameter_unknown")
