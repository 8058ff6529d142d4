"""Hooks of drf-spectacular: what the OpenAPI description leaves out, and what it says of request bodies."""

from typing import Any


def without_trailing_slash(endpoints: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave the tolerated twin of each address out."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def closed_bodies(result: dict[str, Any], generator: object, request: object, public: bool) -> dict[str, Any]:  # noqa: ARG001, FBT001
    """Say that request bodies take no other names: strict.py refuses them."""
    for name, component in result["components"]["schemas"].items():
        if name.endswith("Request"):
            component["additionalProperties"] = False
    return result
