"""Hooks of drf-spectacular: what the OpenAPI description leaves out, and what it says of every operation."""

from typing import Any

from billing.api.idempotency import HEADER, KEY_PATTERN

_TEXT = r"^[^\u0000]*$"
_SAID = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
_HEADERS = {
    "X-Request-Id": "The number of this request, also in our log: name it when you ask us. A UUID of yours is kept.",
    "RateLimit": "What is left: `r` calls in the `t` seconds of this minute.",
    "RateLimit-Policy": "How many calls (`q`) a key has in how many seconds (`w`).",
    "ETag": "A digest of the body; send it as `If-None-Match` and an unchanged answer is a 304.",
    "Idempotent-Replayed": "`true` when an earlier call with this key was carried out and this is its answer.",
    "Retry-After": "In how many seconds to try again.",
}
_ON_EVERY_ANSWER = ("X-Request-Id", "RateLimit", "RateLimit-Policy")
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A random text of yours, one for each thing to be done. The same call again under the same key is "
    "answered as the first time and not carried out again, for 72 hours.",
    "schema": {"type": "string", "pattern": KEY_PATTERN},
}


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


def headers(result: dict[str, Any], generator: object, request: object, public: bool) -> dict[str, Any]:  # noqa: ARG001, FBT001
    """Describe the headers that views do not name: idempotency keys, tags, rates, request numbers."""
    result["components"]["headers"] = {
        name: {"description": words, "schema": {"type": "string"}} for name, words in _HEADERS.items()
    }
    for methods in result["paths"].values():
        for method, operation in methods.items():
            if method == "post":
                operation["parameters"] = [*operation.get("parameters", []), _IDEMPOTENCY_KEY]
            else:
                operation["responses"]["304"] = {"description": "Unchanged since the tag in `If-None-Match`."}
            for status, response in operation["responses"].items():
                response["headers"] = _headers_of(method, status)
    return result


def _headers_of(method: str, status: str) -> dict[str, Any]:
    names = list(_ON_EVERY_ANSWER)
    if method == "get" and status in {"200", "304"}:
        names.append("ETag")
    if method == "post" and status.startswith("2"):
        names.append("Idempotent-Replayed")
    if status in {"429", "503"}:
        names.append("Retry-After")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
