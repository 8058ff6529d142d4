"""Every method of every route of the API: the scope it needs and a call that it takes. One table for many tests.

A route that is not here fails `test_the_table_holds_every_method_of_every_route`.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from billing.api.urls import ROUTES
from billing.models import Scope


@dataclass(frozen=True)
class Operation:
    """One method of one route; ids of an office with an invoice and a patient are filled in where braces stand."""

    method: str
    path: str
    scope: Scope
    body: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def call(self, caller: Any, ids: dict[str, str], **headers: str) -> Any:
        """Call it with a Django client."""
        path = f"/api/{self.path.format(**ids)}"
        if self.body is None:
            return caller.generic(self.method.upper(), path, QUERY_STRING=self._filled_query(ids), headers=headers)
        return caller.post(path, self.filled_body(ids), "application/json", headers=headers)

    def filled_body(self, ids: dict[str, str]) -> dict[str, Any]:
        return {name: value.format(**ids) for name, value in (self.body or {}).items()}

    def _filled_query(self, ids: dict[str, str]) -> str:
        return "&".join(f"{name}={value.format(**ids)}" for name, value in self.query.items())


_OFFICE = {"office_id": "{office}"}
OPERATIONS = [
    Operation("post", "billing/invoices", Scope.INVOICES_WRITE, _OFFICE | {"invoice_type": "monthly"}),
    Operation("get", "billing/invoices/{office}", Scope.INVOICES_READ),
    Operation("get", "billing/invoices/{office}/{invoice}", Scope.INVOICES_READ),
    Operation("get", "billing/payment-status/{invoice}", Scope.INVOICES_READ),
    Operation(
        "post", "billing/charges/one-off", Scope.CHARGES_WRITE, _OFFICE | {"reason": "training", "amount": "1.00"}
    ),
    Operation("get", "billing/offices/{office}/summary", Scope.INVOICES_READ),
    Operation("post", "billing/patients/{patient}/activate", Scope.PATIENTS_WRITE, {}),
    Operation("post", "billing/patients/{patient}/deactivate", Scope.PATIENTS_WRITE, {}),
    Operation("post", "patients", Scope.PATIENTS_WRITE, _OFFICE | {"external_id": "1"}),
    Operation("get", "patients", Scope.PATIENTS_READ, query=_OFFICE),
]
METHODS = {"get", "head", "post", "put", "patch", "delete", "options", "trace"}


def in_words(path: str) -> str:
    """Write a route's path as the table does."""
    return re.sub(r"<uuid:(\w+)_id>", r"{\1}", path)


PATHS = [in_words(route.path) for route in ROUTES]
