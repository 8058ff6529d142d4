"""Read one field of a decoded Stripe reply, or say which field is malformed; the value never enters the exception."""

import re
import uuid
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeVar, cast

from billing.stripe_gateway.outbound_values import OutboundValueInvalid, StripeId

Fields = Mapping[str, object]
Choice = TypeVar("Choice", bound=Enum)

# Larger than any amount Stripe takes and still exact everywhere.
_LARGEST = 10**15
# "200" and "200.00" are whole; Stripe allows 12 decimal places.
_WHOLE = re.compile(r"(-?[0-9]{1,15})(?:\.0{1,12})?")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class InboundMalformed(ValueError):
    """A reply lacks a field or holds the wrong type; carries our name of the field, never what it held."""

    def __init__(self, field: str) -> None:
        super().__init__(f"malformed field in Stripe's reply: {field}")
        self.field = field


def mapping(data: object, name: str) -> Fields:
    """Return `data` itself as an object with named fields. Raises `InboundMalformed`."""
    if not isinstance(data, dict):
        raise InboundMalformed(name)
    return cast("Fields", data)


def optional_mapping(data: Fields, name: str) -> Fields:
    """Return the object in field `name`, empty when absent or null. Raises `InboundMalformed`."""
    value = data.get(name)
    return {} if value is None else mapping(value, name)


def rows(data: Fields, name: str) -> Sequence[object]:
    """Return the list in field `name`. Raises `InboundMalformed`."""
    value = data.get(name)
    if not isinstance(value, list):
        raise InboundMalformed(name)
    return value


def kind_of_object(data: Fields, expected: str) -> None:
    """Make sure Stripe answered with the object that was asked for. Raises `InboundMalformed`."""
    if data.get("object") != expected:
        raise InboundMalformed("object")


def integer(data: Fields, name: str) -> int:
    """Return a whole number; booleans, floats and numeric text are malformed. Raises `InboundMalformed`."""
    value = data.get(name)
    if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
        raise InboundMalformed(name)
    return value


def optional_integer(data: Fields, name: str) -> int | None:
    """Return a whole number, None when absent or null. Raises `InboundMalformed`."""
    return None if data.get(name) is None else integer(data, name)


def flag(data: Fields, name: str) -> bool:
    """Return true or false. Raises `InboundMalformed`."""
    value = data.get(name)
    if type(value) is not bool:
        raise InboundMalformed(name)
    return value


def optional_text(data: Fields, name: str) -> str | None:
    """Return text, None when absent or null. Raises `InboundMalformed`."""
    value = data.get(name)
    if value is not None and type(value) is not str:
        raise InboundMalformed(name)
    return value


def matching_text(data: Fields, name: str, pattern: re.Pattern[str]) -> str | None:
    """Return text that fits `pattern` entirely, None when absent or null. Raises `InboundMalformed`."""
    value = optional_text(data, name)
    if value is not None and pattern.fullmatch(value) is None:
        raise InboundMalformed(name)
    return value


def choice(data: Fields, name: str, kind: type[Choice]) -> Choice:
    """Return the member of `kind` with the field's value. Raises `InboundMalformed`."""
    value = data.get(name)
    found = next((member for member in kind if type(value) is str and member.value == value), None)
    if found is None:
        raise InboundMalformed(name)
    return found


def stripe_id(data: Fields, name: str, prefixes: tuple[str, ...]) -> StripeId:
    """Return an id with one of `prefixes`; an expanded object counts as its id. Raises `InboundMalformed`."""
    value = data.get(name)
    if isinstance(value, dict):
        value = value.get("id")
    if type(value) is not str or not value.startswith(prefixes):
        raise InboundMalformed(name)
    try:
        return StripeId(value)
    except OutboundValueInvalid:
        raise InboundMalformed(name) from None


def optional_stripe_id(data: Fields, name: str, prefixes: tuple[str, ...]) -> StripeId | None:
    """Return an id with one of `prefixes`, None when absent or null. Raises `InboundMalformed`."""
    return None if data.get(name) is None else stripe_id(data, name, prefixes)


def own_uuid(data: Fields, name: str) -> uuid.UUID | None:
    """Return our id from metadata; None when it is absent or was never made by us (anybody can edit metadata)."""
    value = data.get(name)
    return uuid.UUID(value) if type(value) is str and _UUID.fullmatch(value) else None


def whole_number(value: object) -> int | None:
    """Return the integer in a decimal text or number of Stripe's, None when it is absent or not whole."""
    if type(value) is int:
        return value if abs(value) <= _LARGEST else None
    found = _WHOLE.fullmatch(value) if type(value) is str else None
    return int(found.group(1)) if found else None
