"""Hooks of drf-spectacular: what the OpenAPI description leaves out, and what it says of request bodies."""

from typing import Any

_TEXT = r"^[^\u0000]*$"
_SAID = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"


def without_trailing_slash(endpoints: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave the tolerated twin of each address out."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def closed_bodies(result: dict[str, Any], generator: object, request: object, public: bool) -> dict[str, Any]:  # noqa: ARG001, FBT001
    """Say what strict.py and parsing.py refuse: other names, and text that is NUL or nothing but space."""
    for name, component in result["components"]["schemas"].items():
        if name.endswith("Request"):
            component["additionalProperties"] = False
            for described in component["properties"].values():
                if described.get("type") == "string" and not described.keys() & {"format", "pattern", "enum"}:
                    described["pattern"] = _SAID if described.get("minLength") else _TEXT
    return result
