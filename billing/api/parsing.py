"""Read a JSON body so that whatever is sent, the worst answer is a 4xx.

The framework's own parser turns 100,000 nested brackets into a 500, keeps the last of two equal names, accepts NaN,
and passes on text that no database column can hold. Django bounds the size before anything is read.
"""

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
DEEPEST_NESTING = 8  # our bodies are flat; a little room, so that the answer names the unknown field


class BodyTooLarge(APIException):
    """The body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"
    default_detail = "The body is too large."


class LengthRequired(APIException):
    """A body sent in chunks would be taken for an empty one, and its content silently ignored."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length."


class StrictJSONParser(JSONParser):
    """JSON by RFC 8259, in UTF-8, of bounded nesting, without equal names, NaN, NUL or lone surrogates."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Return the parsed body; raise ParseError. Messages never repeat what was sent."""
        try:
            parsed = json.loads(
                stream.read().decode(), object_pairs_hook=_without_equal_names, parse_constant=_no_constant
            )
        except (ValueError, RecursionError):
            raise ParseError("The body is not valid JSON in UTF-8.") from None
        _check(parsed)
        return parsed


def _without_equal_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ParseError("A name occurs twice in an object.")
    return named


def _no_constant(_name: str) -> NoReturn:
    raise ParseError("NaN and Infinity are not JSON.")


def _check(parsed: Any, depth: int = 0) -> None:
    """Raise ParseError for what no text column can hold, and for nesting that no body of ours has."""
    if depth > DEEPEST_NESTING:
        raise ParseError("The body is nested too deeply.")
    if isinstance(parsed, str):
        if _UNSTORABLE.search(parsed):
            raise ParseError("Text must not hold NUL or lone surrogates.")
    elif isinstance(parsed, dict):
        for name, value in parsed.items():
            _check(name, depth)
            _check(value, depth + 1)
    elif isinstance(parsed, list):
        for value in parsed:
            _check(value, depth + 1)
