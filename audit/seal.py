"""How an audit entry is hashed and sealed: the arithmetic alone, without the database.

digest = SHA-256(0x00 || version || length-prefixed fields || previous digest); anyone can check it.
mac    = HMAC-SHA256(key, role || ...); only the holder of AUDIT_KEYS can make it (reliability.md, "Audit").
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from django.conf import settings

VERSION = 1
_PREFIX = b"\x00" + bytes([VERSION])

PayloadValue = str | int | bool | None


def canonical(payload: Mapping[str, PayloadValue]) -> str:
    """Return the payload as JSON text with sorted keys and no spaces: the text that is stored and hashed."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def instant(at: datetime) -> str:
    """Return an instant as UTC text with microseconds, the same on every database."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry_digest(*, stream: str, seq: int, at: datetime, actor: str, action: str, payload: str, previous: str) -> str:
    """Return the public hex digest that chains this entry to the one before it."""
    hasher = hashlib.sha256(_PREFIX)
    for field in (stream, str(seq), instant(at), actor, action, payload):
        data = field.encode()
        hasher.update(len(data).to_bytes(8, "big") + data)
    hasher.update(bytes.fromhex(previous))
    return hasher.hexdigest()


def entry_mac(key: bytes, digest: str) -> str:
    """Return the seal of an entry."""
    return hmac.digest(key, b"entry\x00" + bytes.fromhex(digest), "sha256").hex()


def head_mac(key: bytes, *, stream: str, seq: int, digest: str) -> str:
    """Return the seal of a stream head: it says how long the stream is."""
    return hmac.digest(key, f"head\x00{stream}\x00{seq}\x00{digest}".encode(), "sha256").hex()


def writing_key() -> tuple[str, bytes]:
    """Return (id, key) of the first of AUDIT_KEYS, with which new entries are sealed."""
    return next(iter(_ring(tuple(settings.AUDIT_KEYS)).items()))


def reading_key(key_id: str) -> bytes | None:
    """Return the key with this id, or None when it is not in AUDIT_KEYS (any more)."""
    return _ring(tuple(settings.AUDIT_KEYS)).get(key_id)


@lru_cache(maxsize=8)
def _ring(secrets: tuple[str, ...]) -> dict[str, bytes]:
    """Derive each key; its id is a digest of the derived key, so it tells nothing about the secret."""
    keys = [hmac.digest(secret.encode(), b"audit chain v1", "sha256") for secret in secrets]
    return {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}
