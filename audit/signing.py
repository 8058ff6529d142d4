"""The Ed25519 keys that sign checkpoints and exports, derived from AUDIT_SIGNING_KEY (decisions.md 31).

The first key signs, all of them verify. Whoever holds a public key, or its fingerprint, needs nothing of ours.
"""

import hashlib
import hmac
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

# What is signed begins with its purpose: a signature of one kind is none of the other.
CHECKPOINT, EXPORT = b"clinic-billing audit checkpoint v1\x00", b"clinic-billing audit export v1\x00"


def sign(purpose: bytes, message: bytes) -> tuple[str, str]:
    """Return (public key, signature) in hex, made with the first key."""
    public, key = next(iter(_ring(tuple(settings.AUDIT_SIGNING_KEY)).items()))
    return public, key.sign(purpose + message).hex()


def is_ours(public_key: str) -> bool:
    """Return whether this is the public key of one of AUDIT_SIGNING_KEY."""
    return public_key in _ring(tuple(settings.AUDIT_SIGNING_KEY))


def is_signed(purpose: bytes, message: bytes, *, public_key: str, signature: str) -> bool:
    """Return whether the signature is this key's; garbage is no signature."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
            bytes.fromhex(signature), purpose + message
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def public_keys() -> list[str]:
    """Return the public keys in hex, the one that signs first."""
    return list(_ring(tuple(settings.AUDIT_SIGNING_KEY)))


def fingerprint(public_key: str) -> str:
    """Return the SHA-256 of a public key in hex: what an auditor keeps to know the key again."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()


@lru_cache(maxsize=8)
def _ring(secrets: tuple[str, ...]) -> dict[str, Ed25519PrivateKey]:
    seeds = [hmac.digest(secret.encode(), b"audit checkpoints v1", "sha256") for secret in secrets]
    keys = [Ed25519PrivateKey.from_private_bytes(seed) for seed in seeds]
    return {key.public_key().public_bytes_raw().hex(): key for key in keys}
