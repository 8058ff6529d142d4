"""Every parameter is checked against the typed parameters of the installed `stripe` package.

The package's TypedDicts are generated from Stripe's own API description, so a parameter that was renamed or removed
is refused here exactly when it would be refused there.
"""

import functools
import sys
import types
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from stripe import RequestOptions

from sandbox.stripe_standin.form import Form
from sandbox.stripe_standin.parameter_shapes import (
    Choice,
    DecimalNumber,
    Either,
    Fields,
    Flag,
    Labels,
    Rows,
    Shape,
    Text,
    Whole,
    too_long,
)

_SCALARS: dict[Any, Shape] = {
    str: Text(),
    int: Whole(),
    bool: Flag(),
    Decimal: DecimalNumber(),
    float: DecimalNumber(),
}
# The client's own options (API key, headers, idempotency key) are inherited by every TypedDict but are no parameters.
_CLIENT_OPTIONS = frozenset(RequestOptions.__annotations__)


class UnreadableParameterType(TypeError):
    """The installed package types a parameter in a way this module has not met."""


def read_parameters(typed: type, form: Form, limits: Mapping[str, int]) -> dict[str, Any]:
    """Return the typed parameters of a request, or raise Stripe's 400 for the first that is wrong.

    `limits` gives the greatest length of some top-level texts.
    """
    values = _fields_of(typed).read(form, "")
    for name, limit in limits.items():
        if isinstance(values.get(name), str) and len(values[name]) > limit:
            raise too_long(name, limit)
    return values


@functools.cache
def _fields_of(typed: type) -> Fields:
    # Resolved one by one: the client's options name types that the package imports for type checkers only.
    own = {name: hint for name, hint in typed.__annotations__.items() if name not in _CLIENT_OPTIONS}
    hints = get_type_hints(types.SimpleNamespace(__annotations__=own), vars(sys.modules[typed.__module__]))
    members = {name: _shape_of(hint) for name, hint in hints.items()}
    required: frozenset[str] = getattr(typed, "__required_keys__", frozenset())
    return Fields(members, required & members.keys())


def _shape_of(hint: Any) -> Shape:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union_of(get_args(hint))
    if origin is Literal:
        return Choice(frozenset(map(str, get_args(hint))))
    if origin is list:
        return Rows(_shape_of(get_args(hint)[0]))
    if origin is dict:
        return Labels()
    if hasattr(hint, "__required_keys__"):  # a TypedDict, of `typing` or of its back-port
        return _fields_of(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    raise UnreadableParameterType(repr(hint))


def _union_of(options: tuple[Any, ...]) -> Shape:
    words = {str(word) for option in options if get_origin(option) is Literal for word in get_args(option)}
    others = [option for option in options if get_origin(option) is not Literal and not _is_untyped(option)]
    nested = [option for option in others if option not in _SCALARS]
    scalars = [option for option in others if option in _SCALARS]
    if words - {""}:
        # `Literal[...] | str` leaves room for words of later API versions; this version's server knows only these.
        return Choice(frozenset(words))
    if scalars == [str] and not nested:
        return Text(may_be_empty="" in words)
    return Either(
        scalar=_SCALARS[scalars[0]] if scalars else None,
        nested=_shape_of(nested[0]) if nested else None,
        may_be_empty="" in words,
    )


def _is_untyped(option: Any) -> bool:
    # `UntypedStripeObject[str]` lets a caller pass an object back; on the wire it equals `Dict[str, str]`.
    return getattr(get_origin(option) or option, "__name__", "") == "UntypedStripeObject"
