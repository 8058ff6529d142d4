"""Replies that lie or break: the stored object stays as it is, only what is sent differs."""

import json
from collections.abc import Callable

from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.faults import Fault

# Larger than any reply that a billing system should be willing to hold in memory.
HUGE_BYTES = 8 * 1024 * 1024
_AMOUNTS = ("total", "subtotal", "amount_due", "amount_remaining", "amount")


def distort(body: bytes, fault: Fault | None) -> bytes:
    """Return the body as the fault makes it; other faults leave it alone."""
    if fault is Fault.MALFORMED_BODY:
        return body[: max(1, len(body) // 2)]
    if fault is Fault.HUGE_BODY:
        return body[:-1] + b', "padding": "' + b"x" * HUGE_BYTES + b'"}'
    lie = _LIES.get(fault) if fault else None
    return json.dumps(lie(json.loads(body))).encode() if lie else body


def _wrong_total(document: Json) -> Json:
    # One cent more: the smallest lie there is.
    return {**document, **{name: document[name] + 1 for name in _AMOUNTS if isinstance(document.get(name), int)}}


def _wrong_currency(document: Json) -> Json:
    return {**document, "currency": "eur"} if "currency" in document else document


def _wrong_status(document: Json) -> Json:
    return {**document, "status": "void"} if "status" in document else document


_LIES: dict[Fault, Callable[[Json], Json]] = {
    Fault.WRONG_TOTAL: _wrong_total,
    Fault.WRONG_CURRENCY: _wrong_currency,
    Fault.WRONG_STATUS: _wrong_status,
}
