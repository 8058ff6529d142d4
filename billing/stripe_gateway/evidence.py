"""Egress evidence: what really left, for the caller to store; a pure value."""

import hashlib
import uuid
from dataclasses import dataclass

from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.policy import POLICY_VERSION
from billing.stripe_gateway.transport import Exchange


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request that was handed to the network, and what came back.

    `body` is the form as sent (empty for reads, whose parameters stand in `query`). `sha256` covers method, path with
    query, and body, separated by newlines. `status` is None when no complete reply came; then, and for every other
    failure, `error_code` says why. With `error_code` "connect_failed" Stripe never saw the request. `replayed`: Stripe
    answered from a stored result, so the reply may be old.
    """

    operation: Operation
    method: str
    path: str
    query: str
    body: str
    sha256: str
    idempotency_key: uuid.UUID | None
    policy_version: str
    status: int | None
    error_code: str | None
    replayed: bool


def request_digest(method: str, path: str, query: str, body: str) -> str:
    """Return sha256 over method, path with query, and body, separated by newlines, in hex."""
    target = f"{path}?{query}" if query else path
    return hashlib.sha256(f"{method}\n{target}\n{body}".encode()).hexdigest()


def sent_request(
    operation: Operation, exchange: Exchange, *, idempotency_key: uuid.UUID | None, error_code: str | None
) -> SentRequest | None:
    """Describe what left in this exchange, None when nothing did."""
    inspected = exchange.inspected
    if inspected is None or not exchange.sent:
        return None
    target = "/" + inspected.url.split("/", 3)[3]
    path, _, query = target.partition("?")
    body = inspected.body.decode("ascii")
    return SentRequest(
        operation=operation,
        method=inspected.method,
        path=path,
        query=query,
        body=body,
        sha256=request_digest(inspected.method, path, query, body),
        idempotency_key=idempotency_key,
        policy_version=POLICY_VERSION,
        status=exchange.status,
        error_code=error_code,
        replayed=exchange.replayed,
    )
