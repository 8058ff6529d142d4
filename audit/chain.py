"""Record facts in their streams, in the caller's transaction, and verify what is recorded.

The stream head is the last lock a transaction takes, after the office row (reliability.md, "Audit").
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import connection, transaction
from django.db.models import CharField

from audit import seal
from audit.breaks import Break
from audit.bulk_rows import insert_and_update
from audit.chain_check import check_chains
from audit.checkpoint_check import check_checkpoints
from audit.compiled import Parameter, Statement
from audit.models import AuditEntry, SealedHead, StreamHead


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened: `action` is a dotted verb, `payload` flat and free of direct identifiers."""

    stream: str
    action: str
    payload: Mapping[str, seal.PayloadValue] = field(default_factory=dict)


class AuditOutsideTransaction(RuntimeError):
    """An entry must share the transaction of the change it tells of."""


def record(fact: Fact, *, actor: str, now: datetime) -> None:
    """Append one fact to its stream."""
    record_many([fact], actor=actor, now=now)


def record_many(facts: Sequence[Fact], *, actor: str, now: datetime) -> None:
    """Append facts to their streams, in their order, with two statements for few and four at most for a chunk of many.

    Raises AuditOutsideTransaction outside `transaction.atomic`.
    """
    if not facts:
        return
    if not transaction.get_connection().in_atomic_block:
        raise AuditOutsideTransaction("audit entries belong to the transaction of the change they tell of")
    heads = _lock_heads({fact.stream for fact in facts})
    entries = list(_sealed(facts, heads, actor=actor, now=now))  # which moves the heads on
    insert_and_update(entries, list(heads.values()), ["seq", "digest", "mac_key", "mac"])


def _lock_heads(streams: set[str]) -> dict[str, StreamHead]:
    ordered = sorted(streams)
    heads = {head.stream: head for head in _locked(ordered)}
    missing = [stream for stream in ordered if stream not in heads]
    if missing:
        # Two writers of a new stream meet on the primary key: one inserts, both then lock the same row.
        StreamHead.objects.bulk_create([StreamHead(stream=stream) for stream in missing], ignore_conflicts=True)
        heads |= {head.stream: head for head in _locked(missing)}
    return heads


def _locked(streams: Sequence[str]) -> list[StreamHead]:
    if len(streams) == 1:
        return _HEAD.objects(stream=streams[0])
    return list(StreamHead.objects.select_for_update().filter(stream__among=streams).order_by("stream"))


_HEAD = Statement(
    lambda: StreamHead.objects.select_for_update().filter(stream=Parameter("stream", CharField(max_length=100)))
)


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


@dataclass(frozen=True, slots=True)
class Verified:
    """How much was read, and what does not verify."""

    entries: int
    checkpoints: int
    anchors: int
    breaks: list[Break]


def verify(streams: Sequence[str] | None = None) -> tuple[int, list[Break]]:
    """Return (entries read, breaks found): `verify_trail` for who asks for no more."""
    found = verify_trail(streams)
    return found.entries, found.breaks


def verify_trail(streams: Sequence[str] | None = None, *, anchors: Path | None = None) -> Verified:
    """Verify all streams or the named ones, every checkpoint, and the checkpoints against a file of anchors.

    Finds every edit, deletion, insertion and swap. What a checkpoint has sealed cannot be cut or taken away unseen;
    that a checkpoint is gone shows against the anchors. Memory does not grow with the trail, only with the number of
    its streams. Raises OSError for the file of anchors.
    """
    with one_snapshot():
        entries, breaks = check_chains(streams)
        checked = check_checkpoints(streams, anchors)
    return Verified(entries, checked.checkpoints, checked.anchors, breaks + checked.breaks)


def is_known(stream: str) -> bool:
    """Return whether anything was ever recorded in this stream."""
    return any(model.objects.filter(stream=stream).exists() for model in (StreamHead, AuditEntry, SealedHead))


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Read everything as of one instant: an entry written in between must not look like a cut tail."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
