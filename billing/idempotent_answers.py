"""Carry out an API call once, however often it is sent: the answer is kept in the transaction of the work.

reliability.md, "Idempotency of our own API": unique per credential and key (decisions.md 30), kept 72 hours.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from billing.models import IdempotentAnswer
from offices.encryption import BlindIndex, blind_index, blind_indexes

KEPT_FOR = timedelta(hours=72)  # longer than a portal tries again over a weekend
_KEY, _REQUEST = "billing.idempotentanswer.key", "billing.idempotentanswer.request"
_ROWS_AT_ONCE = 5_000


class KeyReused(Exception):
    """The key has been used for another request: another method, path or body."""


class CallInProgress(Exception):
    """The same key is being carried out at this moment; ask again for its answer."""


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One request under one key. Has no repr: key and request may hold what a portal wrote of a person."""

    credential: str
    key: str
    request: bytes

    @property
    def lock_number(self) -> int:
        """Return what names this key in PostgreSQL's table of advisory locks: 64 bits, signed."""
        digest = hashlib.sha256(f"{self.credential}\0{self.key}".encode()).digest()
        return int.from_bytes(digest[:8], signed=True)

    def index_of_key(self) -> BlindIndex:
        """Return the digest under which the key is stored."""
        return blind_index(self.key, context=_KEY)

    def index_of_request(self) -> BlindIndex:
        """Return the digest under which the request is stored."""
        return blind_index(self._request_text(), context=_REQUEST)

    def is_of(self, stored: IdempotentAnswer) -> bool:
        """Tell whether this is the request that was answered, under whichever index key it was stored."""
        indexes = blind_indexes(self._request_text(), context=_REQUEST)
        return stored.request_digest in {index.digest for index in indexes}

    def digests_of_key(self) -> list[str]:
        """Return the key's digest under every index key: one of them may be on its way out."""
        return [index.digest for index in blind_indexes(self.key, context=_KEY)]

    def _request_text(self) -> str:
        return hashlib.sha256(self.request).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: HTTP status and JSON text. `replayed`: the work was done by an earlier call."""

    status_code: int
    body: str
    replayed: bool = False


def answer_once(*, call: Call, now: datetime, work: Callable[[], Answer]) -> Answer:
    """Return the kept answer of this call, or do the work and keep its answer; inside the caller's transaction.

    Work that raises leaves nothing behind: a refusal is judged anew. Raises KeyReused, CallInProgress.
    """
    _claim(call)
    stored = IdempotentAnswer.objects.filter(credential=call.credential, key_digest__in=call.digests_of_key()).first()
    if stored is not None:
        if not call.is_of(stored):
            raise KeyReused("the key has been used for another request")
        return Answer(stored.status_code, stored.body, replayed=True)
    answer = work()
    IdempotentAnswer.objects.create(
        credential=call.credential,
        key_digest=call.index_of_key().digest,
        request_digest=call.index_of_request().digest,
        status_code=answer.status_code,
        body=answer.body,
        created_at=now,
    )
    return answer


def _claim(call: Call) -> None:
    """Take the key until the transaction ends; on SQLite the one writer has it already."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [call.lock_number])
        (taken,) = cursor.fetchone()
    if not taken:
        raise CallInProgress("the same key is being carried out")


def purge_answers(*, now: datetime) -> int:
    """Delete the answers that are older than KEPT_FOR, in batches; return how many."""
    old = IdempotentAnswer.objects.filter(created_at__lt=now - KEPT_FOR)
    purged = 0
    while keys := list(old.order_by("created_at").values_list("pk", flat=True)[:_ROWS_AT_ONCE]):
        with transaction.atomic():
            purged += IdempotentAnswer.objects.filter(pk__in=keys).delete()[0]
    return purged
