"""`expand[]`: ids replaced by the objects they name, and the parts that Stripe includes only when asked."""

from typing import Any

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter
from sandbox.stripe_standin.listing import DEFAULT_LIMIT, page_of

# https://docs.stripe.com/api/expanding_objects
MAX_DEPTH = 4
_REFERENCES = {
    "customer": "customer",
    "invoice": "invoice",
    "charge": "charge",
    "latest_charge": "charge",
    "payment_intent": "payment_intent",
    "dispute": "dispute",
}
# Field of an object that is absent until expanded: the table and the index it is read from.
_INCLUDABLE = {("invoice", "payments"): ("invoice_payment", "invoice"), ("charge", "refunds"): ("refund", "charge")}


def expand(account: Account, document: Json, paths: list[str]) -> Json:
    """Return the reply with these paths expanded; the stored objects stay as they are."""
    for path in paths:
        segments = path.split(".")
        if len(segments) > MAX_DEPTH:
            raise _refused(f"You cannot expand more than {MAX_DEPTH} levels of a property.")
        document = _expanded(account, document, segments, path)
    return document


def _expanded(account: Account, document: Json, segments: list[str], path: str) -> Json:
    head, rest = segments[0], segments[1:]
    if document.get("object") == "list" and head == "data":
        return {**document, "data": [_deeper(account, row, rest, path) for row in document["data"]]}
    value = _value(account, document, head, path)
    return {**document, head: _deeper(account, value, rest, path)}


def _deeper(account: Account, value: Any, rest: list[str], path: str) -> Any:
    return _expanded(account, value, rest, path) if rest and isinstance(value, dict) else value


def _value(account: Account, document: Json, field: str, path: str) -> Any:
    source = _INCLUDABLE.get((document.get("object", ""), field))
    if source and field not in document:
        rows = reversed(account.state.tables[source[0]].where(source[1], document["id"]))
        return page_of(rows, {}, DEFAULT_LIMIT, f"/v1/{source[0]}s")
    if field not in document:
        raise _refused(f"This property cannot be expanded ({path}).")
    value = document[field]
    if isinstance(value, str) and field in _REFERENCES:
        return account.state.tables[_REFERENCES[field]].get(value) or value
    if value is None or isinstance(value, dict):
        return value
    raise _refused(f"This property cannot be expanded ({path}).")


def _refused(message: str) -> Exception:
    return invalid_parameter(message, param="expand", code="parameter_invalid_expand")
