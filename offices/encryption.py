"""The key ring for encrypted fields and the keyed blind index for looking them up.

Built on django-cryptography's primitives (AES-CBC, then HMAC-SHA256), not on its field: that one pickles
values and becomes unreadable when SECRET_KEY changes (privacy.md, "Identity"). The stored text is
`1:<key id>:<base64>`; the first of FIELD_ENCRYPTION_KEYS writes, all of them read.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django_cryptography.core.signing import BadSignature, FernetSigner
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

FORMAT = "1"


class CiphertextUnreadable(ValueError):
    """The text was not written by a key of the ring, for this context, or was changed since."""


@dataclass(frozen=True, slots=True)
class BlindIndex:
    """A keyed fingerprint of a value: equal values of one context have equal digests, under one key."""

    key_id: str
    digest: str


class KeyRing:
    """Encrypts with its first key and reads with all of them; each context has keys of its own."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._masters = {_key_id(secret, b"field"): secret.encode() for secret in secrets}
        self._boxes: dict[tuple[str, str], FernetBytes] = {}
        self.writing_key_id = next(iter(self._masters))

    def encrypt(self, text: str, *, context: str) -> str:
        """Return `text` encrypted under the first key for `context` (such as `offices.office.customer_id`)."""
        token = self._box(self.writing_key_id, context).encrypt(text.encode())
        return f"{FORMAT}:{self.writing_key_id}:{urlsafe_b64encode(token).decode()}"

    def decrypt(self, stored: str, *, context: str) -> str:
        """Return the clear text; raise CiphertextUnreadable, which never carries the stored text."""
        try:
            version, key_id, token = stored.split(":", 2)
            if version != FORMAT or key_id not in self._masters:
                raise CiphertextUnreadable("no key of the ring reads this value")
            return self._box(key_id, context).decrypt(urlsafe_b64decode(token)).decode()
        except (BadSignature, InvalidToken, Base64Error, ValueError):
            raise CiphertextUnreadable("this value cannot be read with the present keys") from None

    def _box(self, key_id: str, context: str) -> FernetBytes:
        box = self._boxes.get((key_id, context))
        if box is None:
            master = self._masters[key_id]
            encryption = hmac.digest(master, f"encrypt\x00{context}".encode(), "sha256")
            signing = hmac.digest(master, f"sign\x00{context}".encode(), "sha256")
            box = self._boxes[key_id, context] = FernetBytes(encryption, FernetSigner(signing))
        return box


def field_keys() -> KeyRing:
    """Return the ring of FIELD_ENCRYPTION_KEYS."""
    return _ring(tuple(settings.FIELD_ENCRYPTION_KEYS))


def blind_index(value: str, *, context: str) -> BlindIndex:
    """Return the index to store beside an encrypted value: under the first of BLIND_INDEX_KEYS."""
    return blind_indexes(value, context=context)[0]


def blind_indexes(value: str, *, context: str) -> list[BlindIndex]:
    """Return the value's index under every key: look a value up with all of them, also amid a rotation."""
    message = f"{context}\x00{value}".encode()
    keys = _index_keys(tuple(settings.BLIND_INDEX_KEYS))
    return [BlindIndex(key_id, hmac.digest(key, message, "sha256").hex()) for key_id, key in keys]


if TYPE_CHECKING:
    _TextField = models.TextField[Any, Any]
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """Text that is clear in Python and encrypted in the database; its context is `app.model.field`."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        return None if value is None else field_keys().encrypt(str(value), context=self._context)

    def from_db_value(self, value: str | None, *_args: object) -> str | None:
        """Decrypt on the way out; raises CiphertextUnreadable."""
        return None if value is None else field_keys().decrypt(value, context=self._context)

    @property
    def _context(self) -> str:
        return f"{self.model._meta.label_lower}.{self.name}"


@lru_cache(maxsize=8)
def _ring(secrets: tuple[str, ...]) -> KeyRing:
    return KeyRing(secrets)


@lru_cache(maxsize=8)
def _index_keys(secrets: tuple[str, ...]) -> list[tuple[str, bytes]]:
    return [
        (_key_id(secret, b"index"), hmac.digest(secret.encode(), b"blind index v1", "sha256")) for secret in secrets
    ]


def _key_id(secret: str, purpose: bytes) -> str:
    """Name a key by a digest of a value derived from it: the same secret under two purposes has two names."""
    return hashlib.sha256(hmac.digest(secret.encode(), b"key id\x00" + purpose, "sha256")).hexdigest()[:12]
