"""The API's description as a page: made from the OpenAPI schema, without scripts, so that it works under our CSP."""

import json
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.generators import SchemaGenerator

from billing.api.errors import method_not_allowed
from billing.api.viewset import READING


@csrf_exempt  # or a POST would get the CSRF page instead
def docs(request: HttpRequest) -> HttpResponse:
    """Render every operation with its parameters, examples and answers."""
    if request.method not in READING:
        return method_not_allowed(READING)
    schema = _schema()
    return render(request, "api/docs.html", {"info": schema["info"], "operations": _operations(schema)})


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    """Return the OpenAPI description; it does not change while the process runs."""
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    return dict(generator.get_schema(request=None, public=True))


def _operations(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the page shows, in the order of the addresses."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation["summary"],
            "description": operation["description"],
            "parameters": operation.get("parameters", []),
            "requests": _examples(operation.get("requestBody", {})),
            "responses": [
                {
                    "status": status,
                    "description": response.get("description", ""),
                    "examples": _examples(response) if status.startswith("2") else [],
                }
                for status, response in sorted(operation["responses"].items())
            ],
        }
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def _examples(described: dict[str, Any]) -> list[str]:
    """Return the examples of a body as indented JSON."""
    examples = described.get("content", {}).get("application/json", {}).get("examples", {})
    return [json.dumps(example["value"], indent=2) for example in examples.values()]
