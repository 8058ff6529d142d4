"""The shapes a Stripe parameter can have; each reads the encoded text into a value or refuses it as Stripe does."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from sandbox.stripe_standin.errors import StripeFailure, invalid_parameter
from sandbox.stripe_standin.form import FormValue

# https://docs.stripe.com/api/metadata
METADATA_KEYS, METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH = 50, 40, 500
# Stripe's general bound for text that has no tighter one.
TEXT_LENGTH = 5000
DECIMAL_PLACES = 12
# Sixteen digits are more than any amount or time has; without a bound the arithmetic behind could overflow.
_INTEGER = re.compile(r"^-?[0-9]{1,16}\Z")
_DECIMAL = re.compile(r"^-?[0-9]{1,16}(\.[0-9]{1,12})?\Z")
_POSITION = re.compile(r"^[0-9]{1,6}\Z")


class Shape(Protocol):
    """Reads one encoded parameter."""

    def read(self, value: FormValue, name: str) -> Any:
        """Return the typed value, or raise the 400 that Stripe would send for `name`."""


@dataclass(frozen=True)
class Text:
    """A string; only some may be emptied to unset them."""

    may_be_empty: bool = False

    def read(self, value: FormValue, name: str) -> str:
        """Return the text."""
        text = _text(value, name, "a string")
        if not text and not self.may_be_empty:
            message = (
                f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
                f"however '{name}' cannot be unset."
            )
            raise invalid_parameter(message, param=name, code="parameter_invalid_empty")
        if len(text) > TEXT_LENGTH:
            raise too_long(name, TEXT_LENGTH)
        return text


@dataclass(frozen=True)
class Choice:
    """One of a fixed set of words."""

    choices: frozenset[str]

    def read(self, value: FormValue, name: str) -> str:
        """Return the word."""
        text = _text(value, name, "a string")
        if text not in self.choices:
            words = ", ".join(sorted(word for word in self.choices if word))
            raise invalid_parameter(
                f"Invalid {name}: must be one of {words}", param=name, code="parameter_invalid_enum"
            )
        return text


@dataclass(frozen=True)
class Whole:
    """An integer."""

    def read(self, value: FormValue, name: str) -> int:
        """Return the integer."""
        text = _text(value, name, "an integer")
        if not _INTEGER.match(text):
            message = f"Invalid integer: {text[:50]}"
            raise invalid_parameter(message, param=name, code="parameter_invalid_integer")
        return int(text)


@dataclass(frozen=True)
class Flag:
    """A boolean, encoded as `true` or `false`."""

    def read(self, value: FormValue, name: str) -> bool:
        """Return the boolean."""
        text = _text(value, name, "a boolean")
        if text not in ("true", "false"):
            raise invalid_parameter(f"Invalid boolean: {text[:50]}", param=name, code="parameter_invalid_boolean")
        return text == "true"


@dataclass(frozen=True)
class DecimalNumber:
    """A decimal number with at most 12 places."""

    def read(self, value: FormValue, name: str) -> Decimal:
        """Return the exact decimal."""
        text = _text(value, name, "a decimal")
        if not _DECIMAL.match(text):
            raise invalid_parameter(
                f"Invalid decimal: {text[:50]}; must be a decimal with at most {DECIMAL_PLACES} places",
                param=name,
                code="parameter_invalid_decimal",
            )
        return Decimal(text)


@dataclass(frozen=True)
class Labels:
    """Metadata: free keys with text values; an empty value removes the key."""

    def read(self, value: FormValue, name: str) -> dict[str, str]:
        """Return the mapping within Stripe's limits."""
        if isinstance(value, str):
            raise _wrong_shape(name, "a hash")
        if len(value) > METADATA_KEYS:
            message = f"Invalid {name}: at most {METADATA_KEYS} keys are allowed"
            raise invalid_parameter(message, param=name, code="parameter_invalid_metadata")
        labels = {}
        for key, text in value.items():
            if len(key) > METADATA_KEY_LENGTH:
                raise too_long(f"{name}[{key[:METADATA_KEY_LENGTH]}]", METADATA_KEY_LENGTH)
            labels[key] = _text(text, f"{name}[{key}]", "a string")
            if len(labels[key]) > METADATA_VALUE_LENGTH:
                raise too_long(f"{name}[{key}]", METADATA_VALUE_LENGTH)
        return labels


@dataclass(frozen=True)
class Rows:
    """An array."""

    row: Shape

    def read(self, value: FormValue, name: str) -> list[Any]:
        """Return the rows in the order of their positions."""
        if isinstance(value, str) or not all(_POSITION.match(key) for key in value):
            raise _wrong_shape(name, "an array")
        return [self.row.read(value[key], f"{name}[{key}]") for key in sorted(value, key=int)]


@dataclass(frozen=True)
class Fields:
    """A hash with known members."""

    members: dict[str, Shape]
    required: frozenset[str]

    def read(self, value: FormValue, name: str) -> dict[str, Any]:
        """Return the members by name; unknown ones are refused."""
        if isinstance(value, str):
            raise _wrong_shape(name, "a hash")
        for member in value:
            if member not in self.members:
                unknown = _inside(name, member)
                message = f"Received unknown parameter: {unknown}"
                raise invalid_parameter(message, param=unknown, code="parameter_unknown")
        for member in sorted(self.required - value.keys()):
            missing = _inside(name, member)
            message = f"Missing required param: {missing}."
            raise invalid_parameter(message, param=missing, code="parameter_missing")
        return {key: self.members[key].read(text, _inside(name, key)) for key, text in value.items()}


@dataclass(frozen=True)
class Either:
    """Text of one shape or a nested value of another, such as `created`; optionally emptied with ''."""

    scalar: Shape | None
    nested: Shape | None
    may_be_empty: bool

    def read(self, value: FormValue, name: str) -> Any:
        """Return what the fitting shape reads."""
        if value == "" and self.may_be_empty:
            return ""
        shape = self.scalar if isinstance(value, str) else self.nested
        shape = shape or self.scalar or self.nested
        if shape is None:
            raise _wrong_shape(name, "empty")
        return shape.read(value, name)


def too_long(name: str, limit: int) -> StripeFailure:
    """Return the 400 for a text over its limit; the text itself is not repeated."""
    message = f"Invalid string: must be at most {limit} characters"
    return invalid_parameter(message, param=name, code="parameter_invalid_string_length")


def _inside(name: str, member: str) -> str:
    return f"{name}[{member}]" if name else member


def _text(value: FormValue, name: str, expected: str) -> str:
    if not isinstance(value, str):
        raise _wrong_shape(name, expected)
    return value


def _wrong_shape(name: str, expected: str) -> StripeFailure:
    return invalid_parameter(f"Invalid {name}: expected {expected}", param=name, code="parameter_invalid_type")
