"""How an audit entry, a stream head and a checkpoint are hashed and sealed: the arithmetic alone, without the database.

content    = SHA-256(0x03 || version || length-prefixed time, actor, action, payload)
digest     = SHA-256(0x00 || version || length-prefixed stream, position || content || previous digest)
leaf       = SHA-256(0x00 || length-prefixed stream, position, digest): a stream head as a leaf of RFC 9162
checkpoint = SHA-256(0x02 || version || length-prefixed position, time, streams, entries, root || previous checkpoint)
mac        = HMAC-SHA256(key, role || ...); only the holder of AUDIT_KEYS can make it (reliability.md, "Audit").

Anyone can check the digests. The content is hashed by itself so that an export can withhold what is about a person and
still be verified (audit/export.py).
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from django.conf import settings

VERSION = 2  # 1 hashed the content together with the position
_ENTRY, _CONTENT, _CHECKPOINT = (role + bytes([VERSION]) for role in (b"\x00", b"\x03", b"\x02"))
_LEAF = b"\x00"  # RFC 9162; an entry's second byte is the version, a leaf's the first of a length: 0
_LENGTHS = [length.to_bytes(8, "big") for length in range(256)]  # made once: a million entries ask six million times

PayloadValue = str | int | bool | None


def canonical(payload: Mapping[str, PayloadValue]) -> str:
    """Return the payload as JSON text with sorted keys and no spaces: the text that is stored and hashed."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def instant(at: datetime) -> str:
    """Return an instant as UTC text with microseconds, the same on every database."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def entry_digest(*, stream: str, seq: int, at: datetime, actor: str, action: str, payload: str, previous: str) -> str:
    """Return the public hex digest that chains this entry to the one before it."""
    return digest_as_told(stream, seq, instant(at), actor, action, payload, previous)


def digest_as_told(stream: str, seq: int, at: str, actor: str, action: str, payload: str, previous: str) -> str:
    """Return `entry_digest` with the instant as text; raise ValueError when `previous` is no hexadecimal text."""
    content = _content(at, actor, action, payload).digest()
    place = (_ENTRY, _framed_again(stream), _framed(str(seq)), content, bytes.fromhex(previous))
    return sha256(b"".join(place)).hexdigest()


def content_digest(at: str, actor: str, action: str, payload: str) -> str:
    """Return the hex digest of what an entry says, the instant as text, without where it stands."""
    return _content(at, actor, action, payload).hexdigest()


def _content(at: str, actor: str, action: str, payload: str) -> "hashlib._Hash":
    return sha256(b"".join((_CONTENT, _framed(at), _framed_again(actor), _framed_again(action), _framed(payload))))


def leaf_hash(*, stream: str, seq: int, digest: str) -> bytes:
    """Return the leaf of the Merkle tree that stands for a stream up to this position."""
    return _hashed(_LEAF, stream, str(seq), digest).digest()


def checkpoint_digest(*, seq: int, at: datetime, streams: int, entries: int, root: str, previous: str) -> str:
    """Return the hex digest that is signed, and that chains this checkpoint to the one before it."""
    fields = (str(seq), instant(at), str(streams), str(entries), root)
    return _hashed(_CHECKPOINT, *fields, then=bytes.fromhex(previous)).hexdigest()


def _hashed(prefix: bytes, *fields: str, then: bytes = b"") -> "hashlib._Hash":
    """Hash length-prefixed fields: what ends one and begins the next cannot flow."""
    return sha256(b"".join([prefix, *map(_framed, fields), then]))


def _framed(field: str) -> bytes:
    data = field.encode()
    return (_LENGTHS[len(data)] if len(data) < len(_LENGTHS) else len(data).to_bytes(8, "big")) + data


_framed_again = lru_cache(maxsize=4096)(_framed)  # for what comes back: names of streams, actors, actions


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
    return {sha256(key).hexdigest()[:16]: key for key in keys}
