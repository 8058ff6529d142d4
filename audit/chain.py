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
from audit.bulk_rows import Row, insert_and_update
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
    stored = (StreamHead, list(heads.values()))
    insert_and_update((AuditEntry, entries), stored, ["seq", "digest", "mac_key", "mac"])


def _lock_heads(streams: set[str]) -> dict[str, Row]:
    ordered = sorted(streams)
    heads = _locked(ordered)
    missing = [stream for stream in ordered if stream not in heads]
    if missing:
        # Two writers of a new stream meet on the primary key: one inserts, both then lock the same row.
        StreamHead.objects.bulk_create([StreamHead(stream=stream) for stream in missing], ignore_conflicts=True)
        heads |= _locked(missing)
    return heads


def _locked(streams: Sequence[str]) -> dict[str, Row]:
    if len(streams) == 1:
        return {head["stream"]: head for head in _HEAD.rows(stream=streams[0])}
    rows = StreamHead.objects.select_for_update().filter(stream__among=streams).order_by("stream")
    return {head["stream"]: dict(head) for head in rows.values()}


_HEAD = Statement(
    lambda: (
        StreamHead.objects.select_for_update().filter(stream=Parameter("stream", CharField(max_length=100))).values()
    )
)


def _sealed(facts: Iterable[Fact], heads: Mapping[str, Row], *, actor: str, now: datetime) -> Iterator[Row]:
    """Yield the entries, moving the heads on."""
    key_id, key = seal.writing_key()
    for fact in facts:
        head = heads[fact.stream]
        seq, payload = head["seq"] + 1, seal.canonical(fact.payload)
        told = {"stream": fact.stream, "seq": seq, "at": now, "actor": actor, "action": fact.action, "payload": payload}
        digest = seal.entry_digest(**told, previous=head["digest"])
        mac = seal.entry_mac(key, digest)
        yield {**told, "previous": head["digest"], "digest": digest, "mac_key": key_id, "mac": mac}
        sealed = seal.head_mac(key, stream=fact.stream, seq=seq, digest=digest)
        head |= {"seq": seq, "digest": digest, "mac_key": key_id, "mac": sealed}


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
