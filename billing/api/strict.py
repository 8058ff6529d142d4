"""Fields that take exactly what the contract says: a string is a string, a time has a zone, an amount is text.

Messages never repeat what was sent: a value may be a patient's (privacy.md, "Every other way out").
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty

from billing import money

_SAFE_NAME = re.compile(r"[a-z_]{1,40}", re.ASCII)  # what may be a name of ours mistyped; anything else is not repeated
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
AMOUNT_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,2})?$"
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)  # an earlier time is a program's default value, not a memory


class StrictSerializer(serializers.Serializer[Any]):
    """A body or a query string in which every name is known."""

    @classmethod
    @cache
    def needs_something(cls) -> bool:
        """Return whether there is a field that must be given, or that has a value without being given."""
        return any(field.required or field.default is not empty for field in cls().fields.values())

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown names, then read the known ones."""
        if isinstance(data, Mapping):
            refuse_unknown(set(data) - set(self.fields), code="unknown_field")
        return super().to_internal_value(data)


def refuse_unknown(names: set[str], *, code: str) -> None:
    """Raise a ValidationError that names what is unknown, unless the name itself may be a value."""
    if names:
        detail = [ErrorDetail("This name is not known here.", code=code)]
        raise ValidationError({name if _SAFE_NAME.fullmatch(name) else "non_field_errors": detail for name in names})


class Text(serializers.CharField):
    """Text; a number is not text, and the longest length counts the blanks around it, as the description says."""

    def to_internal_value(self, data: Any) -> str:
        """Return the trimmed text."""
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of a list of words."""

    default_error_messages = {"invalid_choice": "This is not one of the choices."}

    def to_internal_value(self, data: Any) -> Any:
        """Return the chosen value."""
        if not isinstance(data, str):
            self.fail("invalid_choice")
        return super().to_internal_value(data)


class Id(serializers.UUIDField):
    """A UUID in its canonical form."""

    def to_internal_value(self, data: Any) -> UUID:
        """Return the UUID."""
        if not isinstance(data, str) or not _UUID.fullmatch(data):
            self.fail("invalid", value="")
        return UUID(data)


@extend_schema_field({"type": "string", "format": "date-time", "pattern": "^(19|[2-9][0-9])[0-9]{2}-"})
class Instant(serializers.DateTimeField):
    """An ISO 8601 time with its zone; a time without one could be any of 24."""

    default_error_messages = {"invalid": "Write an ISO 8601 time with its zone, such as 2026-03-01T09:30:00Z."}

    def to_internal_value(self, value: Any) -> datetime:
        """Return the instant in UTC."""
        try:
            parsed = parse_datetime(value)
            if parsed is None or timezone.is_naive(parsed):
                self.fail("invalid")
            instant = parsed.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            self.fail("invalid")
        if instant < EARLIEST:
            self.fail("invalid")
        return instant


@extend_schema_field({"type": "string", "format": "decimal", "pattern": AMOUNT_PATTERN, "example": "125.00"})
class Amount(serializers.Field[int, Any, str, Any]):
    """An amount as decimal text, cents inside; a JSON number is refused, for it may be a float by now."""

    default_error_messages = {"invalid": "Write an amount as text, such as 125.00."}

    def to_internal_value(self, data: Any) -> int:
        """Return cents."""
        if not isinstance(data, str) or not re.fullmatch(AMOUNT_PATTERN, data, re.ASCII):
            self.fail("invalid")
        return money.to_cents(data)

    def to_representation(self, value: int) -> str:
        """Return decimal text with two places."""
        return money.to_text(value)


@extend_schema_field({"type": "string", "format": "decimal", "pattern": r"^-?[0-9]+\.[0-9]{2}$", "example": "84.00"})
class Total(Amount):
    """An amount we answer with: it may be larger, and negative for a credit."""
