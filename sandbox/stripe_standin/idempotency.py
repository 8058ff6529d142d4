"""Idempotency keys: the first result is kept and replayed, whatever happened to the objects since.

https://docs.stripe.com/api/idempotent_requests
"""

import hashlib
from dataclasses import dataclass

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter, key_in_use, key_reused
from sandbox.stripe_standin.form import flat_pairs

# "You can remove keys from the system automatically after they're at least 24 hours old."
KEPT_SECONDS = 24 * 3600
KEY_LENGTH = 255


@dataclass(frozen=True)
class StoredResult:
    """The first reply a key was given."""

    status: int
    body: bytes
    request_id: str


class KeyRing:
    """The keys of one account; every method is called under the stand-in's lock."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._in_flight: dict[str, str] = {}

    def begin(self, key: str, fingerprint: str) -> StoredResult | None:
        """Return the stored result to replay, or None and mark the key as in flight; raises Stripe's 400 or 409."""
        if len(key) > KEY_LENGTH:
            message = f"Idempotency keys can be at most {KEY_LENGTH} characters."
            raise invalid_parameter(message, param="idempotency_key", code="parameter_invalid_string_length")
        if key in self._in_flight:
            raise key_reused(key) if self._in_flight[key] != fingerprint else key_in_use(key)
        record = self._fresh_record(key)
        if record is None:
            self._in_flight[key] = fingerprint
            return None
        if record["fingerprint"] != fingerprint:
            raise key_reused(key)
        return StoredResult(record["status"], record["body"].encode(), record["request_id"])

    def keep(self, key: str, fingerprint: str, result: StoredResult) -> None:
        """Store the result of the request in flight; the key stays in flight until `finish`."""
        record: Json = {
            "id": key,
            "fingerprint": fingerprint,
            "status": result.status,
            "body": result.body.decode(),
            "request_id": result.request_id,
            "stored_at": self._account.now(),
        }
        self._account.state.save("idempotency_key", record)

    def finish(self, key: str) -> None:
        """Let the next request with this key in."""
        self._in_flight.pop(key, None)

    def prune(self) -> int:
        """Forget all stored results, as Stripe may after 24 hours; returns how many there were."""
        count = len(self._account.state.tables["idempotency_key"])
        self._account.state.clear("idempotency_key")
        return count

    def _fresh_record(self, key: str) -> Json | None:
        record = self._account.state.tables["idempotency_key"].get(key)
        if record is None or self._account.now() - record["stored_at"] >= KEPT_SECONDS:
            return None
        return record


def fingerprint(method: str, path: str, encoded: str) -> str:
    """Return what a key is bound to: method, path and parameters, whatever their order."""
    text = repr((method, path, flat_pairs(encoded)))
    return hashlib.sha256(text.encode()).hexdigest()
