"""Record facts in their streams, in the caller's transaction, and verify what is recorded.

The stream head is the last lock a transaction takes, after the office row (reliability.md, "Audit").
"""

import hmac
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction

from audit import seal
from audit.bulk_rows import insert_all, update_all
from audit.models import GENESIS, AuditEntry, StreamHead


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened: `action` is a dotted verb, `payload` flat and free of direct identifiers."""

    stream: str
    action: str
    payload: Mapping[str, seal.PayloadValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a stream does not verify: `code` says how, `seq` where (0: the stream as a whole)."""

    stream: str
    seq: int
    code: str


class AuditOutsideTransaction(RuntimeError):
    """An entry must share the transaction of the change it tells of."""


def record(fact: Fact, *, actor: str, now: datetime) -> None:
    """Append one fact to its stream."""
    record_many([fact], actor=actor, now=now)


def record_many(facts: Sequence[Fact], *, actor: str, now: datetime) -> None:
    """Append facts to their streams, in their order, with four statements whatever their number.

    Raises AuditOutsideTransaction outside `transaction.atomic`.
    """
    if not facts:
        return
    if not transaction.get_connection().in_atomic_block:
        raise AuditOutsideTransaction("audit entries belong to the transaction of the change they tell of")
    heads = _lock_heads({fact.stream for fact in facts})
    insert_all(list(_sealed(facts, heads, actor=actor, now=now)))
    update_all(list(heads.values()), ["seq", "digest", "mac_key", "mac"])


def _lock_heads(streams: set[str]) -> dict[str, StreamHead]:
    ordered = sorted(streams)
    locked = StreamHead.objects.select_for_update().filter(stream__among=ordered).order_by("stream")
    heads = {head.stream: head for head in locked}
    missing = [stream for stream in ordered if stream not in heads]
    if missing:
        # Two writers of a new stream meet on the primary key: one inserts, both then lock the same row.
        StreamHead.objects.bulk_create([StreamHead(stream=stream) for stream in missing], ignore_conflicts=True)
        added = StreamHead.objects.select_for_update().filter(stream__among=missing).order_by("stream")
        heads |= {head.stream: head for head in added}
    return heads


def _sealed(facts: Iterable[Fact], heads: dict[str, StreamHead], *, actor: str, now: datetime) -> Iterator[AuditEntry]:
    """Yield the entries, moving the heads on."""
    key_id, key = seal.writing_key()
    for fact in facts:
        head = heads[fact.stream]
        entry = AuditEntry(
            stream=fact.stream,
            seq=head.seq + 1,
            at=now,
            actor=actor,
            action=fact.action,
            payload=seal.canonical(fact.payload),
            previous=head.digest,
            mac_key=key_id,
        )
        entry.digest = _digest_of(entry)
        entry.mac = seal.entry_mac(key, entry.digest)
        yield entry
        head.seq, head.digest, head.mac_key = entry.seq, entry.digest, key_id
        head.mac = seal.head_mac(key, stream=head.stream, seq=head.seq, digest=head.digest)


def _digest_of(entry: AuditEntry) -> str:
    return seal.entry_digest(
        stream=entry.stream,
        seq=entry.seq,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        payload=entry.payload,
        previous=entry.previous,
    )


def verify(streams: Sequence[str] | None = None) -> tuple[int, list[Break]]:
    """Return (entries read, breaks found) over all streams or the named ones; memory does not grow with the trail.

    Finds every edit, deletion, insertion and swap; a cut tail shows against the sealed stream head.
    """
    with _one_snapshot():
        return _verify(streams)


def is_known(stream: str) -> bool:
    """Return whether anything was ever recorded in this stream."""
    return StreamHead.objects.filter(stream=stream).exists() or AuditEntry.objects.filter(stream=stream).exists()


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """Read entries and heads as of one instant: an entry written in between must not look like a cut tail."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _verify(streams: Sequence[str] | None) -> tuple[int, list[Break]]:
    entries, heads = AuditEntry.objects.order_by("stream", "seq"), StreamHead.objects.order_by("stream")
    if streams is not None:
        entries, heads = entries.filter(stream__in=streams), heads.filter(stream__in=streams)
    check = _Verifier()
    for entry in entries.iterator(chunk_size=5000):
        check.entry(entry)
    for head in heads.iterator(chunk_size=5000):
        check.head(head)
    return check.count, check.finish()


class _Verifier:
    """Walks entries ordered by (stream, seq), then the heads."""

    def __init__(self) -> None:
        self.count = 0
        self.breaks: list[Break] = []
        self._tails: dict[str, tuple[int, str]] = defaultdict(lambda: (0, GENESIS))

    def entry(self, entry: AuditEntry) -> None:
        self.count += 1
        seq, digest = self._tails[entry.stream]
        key = seal.reading_key(entry.mac_key)
        if entry.seq != seq + 1:
            self._report(entry.stream, entry.seq, "position_missing")
        elif entry.previous != digest:
            self._report(entry.stream, entry.seq, "chain_broken")
        if not _is_as_hashed(entry):
            self._report(entry.stream, entry.seq, "entry_edited")
        elif key is None:
            self._report(entry.stream, entry.seq, "key_unknown")
        elif not _same(seal.entry_mac(key, entry.digest), entry.mac):
            self._report(entry.stream, entry.seq, "seal_invalid")
        self._tails[entry.stream] = (entry.seq, entry.digest)

    def head(self, head: StreamHead) -> None:
        tail = self._tails.pop(head.stream, (0, GENESIS))
        if (head.seq, head.digest) != tail:
            self._report(head.stream, head.seq, "head_differs_from_last_entry")
        elif head.seq and not _head_is_sealed(head):
            self._report(head.stream, head.seq, "head_seal_invalid")

    def finish(self) -> list[Break]:
        for stream in self._tails:
            self._report(stream, 0, "head_missing")
        return self.breaks

    def _report(self, stream: str, seq: int, code: str) -> None:
        self.breaks.append(Break(stream, seq, code))


def _is_as_hashed(entry: AuditEntry) -> bool:
    try:
        return _digest_of(entry) == entry.digest
    except ValueError:  # `previous` is no hexadecimal text any more
        return False


def _head_is_sealed(head: StreamHead) -> bool:
    key = seal.reading_key(head.mac_key)
    return key is not None and _same(seal.head_mac(key, stream=head.stream, seq=head.seq, digest=head.digest), head.mac)


def _same(seal_made: str, seal_found: str) -> bool:
    # As bytes: compare_digest raises for text beyond ASCII, and what was tampered with may hold any.
    return hmac.compare_digest(seal_made.encode(), seal_found.encode())
