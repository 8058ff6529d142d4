"""Hand the trail out as a folder that proves itself: JSON lines, a signed manifest, and the program that verifies them.

What an entry says is written out only where `may_show` agrees; otherwise its content stands there as a digest, so that
the chain verifies all the same and nothing is told (privacy.md: a date of a person is an identifier too).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.db.models import Min

from audit import anchors, seal, signing
from audit.chain import one_snapshot
from audit.instant_text import InstantText
from audit.models import AuditEntry, Checkpoint, SealedHead, StreamHead

FORMAT = "clinic-billing audit export 1"
VERIFIER = Path(__file__).parent / "standalone" / "verify_export.py"
_CHUNK = 5000  # rows held at once
_READ_ME = """An export of the audit trail. It holds no data about a patient: an entry about one is a digest here.

Verify it with a copy of verify_export.py that you trust, and with the fingerprint of the signing key, which whoever
keeps the trail tells you on another way than this folder:

    python verify_export.py FOLDER --fingerprint SHA256 [--anchors FILE]

manifest.json      what this is, and the SHA-256 of each file; manifest.sig its Ed25519 signature
entries.jsonl      who did what when, stream by stream
heads.jsonl        where each stream begins here and ends
checkpoints.jsonl  signed Merkle roots over the ends of all streams
sealed_heads.jsonl which end of a stream each checkpoint sealed
anchors.jsonl      the checkpoints as they were written down outside the database
"""

MayShow = Callable[[str, str], bool]
"""(action, payload) -> whether an entry may be written out."""


@dataclass(slots=True)
class Exported:
    """How much was written."""

    streams: int = 0
    entries: int = 0
    withheld: int = 0
    checkpoints: int = 0
    anchors: int = 0


def export_trail(
    *, folder: Path, streams: Sequence[str] | None, since: datetime | None, may_show: MayShow, now: datetime
) -> Exported:
    """Write the trail, or the streams named, or what was recorded since an instant, into a new folder.

    All of it is read as of one instant; memory grows with the number of streams. A folder without a manifest was not
    finished. Raises FileExistsError, and OSError when the folder cannot be made.
    """
    folder.mkdir(mode=0o700)
    writer, done = _Writer(folder), Exported()
    with one_snapshot():
        _write_entries(writer, done, _Scope.of(streams, since), may_show)
        _write_checkpoints(writer, done, streams)
    writer.copy("README.txt", _READ_ME.encode())
    writer.copy("verify_export.py", VERIFIER.read_bytes())
    manifest = {
        "format": FORMAT,
        "made_at": seal.instant(now),
        "streams": None if streams is None else sorted(streams),
        "since": None if since is None else seal.instant(since),
        "files": writer.digests,
        "public_key": signing.public_keys()[0],
    }
    text = (json.dumps(manifest, indent=2) + "\n").encode()
    _, signature = signing.sign(signing.EXPORT, text)
    (folder / "manifest.sig").write_text(signature + "\n", encoding="ascii")
    (folder / "manifest.json").write_bytes(text)
    return done


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which entries: of which streams, and of each from which position on."""

    streams: Sequence[str] | None
    firsts: dict[str, int] | None

    @classmethod
    def of(cls, streams: Sequence[str] | None, since: datetime | None) -> "_Scope":
        if since is None:
            return cls(streams, None)
        recent = _of_streams(AuditEntry.objects.filter(at__gte=since), streams)
        return cls(streams, dict(recent.order_by().values_list("stream").annotate(Min("seq"))))

    def first(self, head: StreamHead) -> int:
        """Return the first position that is written; one behind the end when there is none."""
        return 1 if self.firsts is None else self.firsts.get(head.stream, head.seq + 1)

    def entries(self) -> Iterator[tuple[Any, ...]]:
        rows = _of_streams(AuditEntry.objects.order_by("stream", "seq"), self.streams)
        if self.firsts is not None:
            rows = rows.filter(stream__among=list(self.firsts))
        names = ("stream", "seq", InstantText("at"), "actor", "action", "payload", "previous", "digest")
        for row in rows.values_list(*names).iterator(chunk_size=_CHUNK):
            if self.firsts is None or row[1] >= self.firsts[row[0]]:
                yield row


def _of_streams(rows: Any, streams: Sequence[str] | None) -> Any:
    return rows if streams is None else rows.filter(stream__in=streams)


def _write_entries(writer: "_Writer", done: Exported, scope: _Scope, may_show: MayShow) -> None:
    with writer.lines("heads.jsonl") as write:
        # Sorted here: databases differ in how they order text.
        heads = _of_streams(StreamHead.objects.filter(seq__gt=0), scope.streams)
        for head in sorted(heads, key=lambda head: head.stream):
            done.streams += 1
            write({"stream": head.stream, "first": scope.first(head), "seq": head.seq, "digest": head.digest})
    with writer.lines("entries.jsonl") as write:
        for stream, seq, at, actor, action, payload, previous, digest in scope.entries():
            said = {"at": at, "actor": actor, "action": action, "payload": payload}
            if not may_show(action, payload):
                done.withheld += 1
                said = {"content": seal.content_digest(at, actor, action, payload)}
            done.entries += 1
            write({"stream": stream, "seq": seq, **said, "previous": previous, "digest": digest})


def _write_checkpoints(writer: "_Writer", done: Exported, streams: Sequence[str] | None) -> None:
    last = 0
    with writer.lines("checkpoints.jsonl") as write:
        for checkpoint in Checkpoint.objects.order_by("seq").iterator(chunk_size=_CHUNK):
            write(anchors.facts_of(checkpoint))
            last = checkpoint.seq
            done.checkpoints += 1
    with writer.lines("sealed_heads.jsonl") as write:
        rows = SealedHead.objects.order_by("checkpoint_id", "place").iterator(chunk_size=_CHUNK)
        for head in rows:
            write(_sealed(head, named=streams is None or head.stream in streams))
    with writer.lines("anchors.jsonl") as write:
        for anchor in _anchors_until(last):
            write(anchor)
            done.anchors += 1


def _sealed(head: SealedHead, *, named: bool) -> dict[str, Any]:
    where = {"checkpoint": head.checkpoint_id, "place": head.place}
    if named:
        return {**where, "stream": head.stream, "seq": head.seq, "digest": head.digest}
    # Another office's leaf: enough for the root, and nothing about it.
    return {**where, "leaf": seal.leaf_hash(stream=head.stream, seq=head.seq, digest=head.digest).hex()}


def _anchors_until(last: int) -> Iterable[dict[str, Any]]:
    """Yield our anchors, without those that were added since the snapshot."""
    file = anchors.path()
    if file is None or not file.exists():
        return
    for line in anchors.read(file):
        seq = anchors.checkpoint_of(line)
        if seq is not None and seq <= last:
            yield json.loads(line)


@dataclass(slots=True)
class _Writer:
    """Writes files and remembers their digests."""

    folder: Path
    digests: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def lines(self, name: str) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Yield a function that writes one line of JSON."""
        hasher = hashlib.sha256()
        with self._new(name) as file:

            def write(facts: dict[str, Any]) -> None:
                line = json.dumps(facts, separators=(",", ":")).encode() + b"\n"
                hasher.update(line)
                file.write(line)

            yield write
        self.digests[name] = hasher.hexdigest()

    def copy(self, name: str, content: bytes) -> None:
        with self._new(name) as file:
            file.write(content)
        self.digests[name] = hashlib.sha256(content).hexdigest()

    def _new(self, name: str) -> BinaryIO:
        return (self.folder / name).open("xb")
