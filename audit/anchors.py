"""Anchors: the newest checkpoint as a line of a file outside the database (AUDIT_ANCHORS_PATH).

Each line carries all that was signed and the public key, so it proves by itself. A checkpoint is chained to all before
it: one line stands for every checkpoint up to its own, and gaps do no harm. Each machine may keep a file of its own.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import structlog
from django.conf import settings

from audit import seal, signing
from audit.breaks import CHECKPOINTS, Break
from audit.models import Checkpoint

logger = structlog.get_logger(__name__)

_LONGEST_LINE = 4096  # bytes; a line has some 700


def path() -> Path | None:
    """Return where the anchors are kept, or None when the setting is empty."""
    return Path(settings.AUDIT_ANCHORS_PATH) if settings.AUDIT_ANCHORS_PATH else None


def facts_of(checkpoint: Checkpoint) -> dict[str, str | int]:
    """Return all that was signed of a checkpoint, the signature, and the key that proves it."""
    return {
        "checkpoint": checkpoint.seq,
        "at": seal.instant(checkpoint.at),
        "streams": checkpoint.streams,
        "entries": checkpoint.entries,
        "root": checkpoint.root,
        "previous": checkpoint.previous,
        "digest": checkpoint.digest,
        "public_key": checkpoint.public_key,
        "signature": checkpoint.signature,
    }


def line_of(checkpoint: Checkpoint) -> bytes:
    """Return the line that anchors this checkpoint, without its end."""
    return json.dumps(facts_of(checkpoint), separators=(",", ":")).encode()


def checkpoint_of(line: bytes) -> int | None:
    """Return the position of the checkpoint that a line speaks of, or None when it is no anchor of ours."""
    try:
        facts = json.loads(line)
        digest, key, signature = facts["digest"], facts["public_key"], facts["signature"]
        signed = signing.is_ours(key) and signing.is_signed(
            signing.CHECKPOINT, bytes.fromhex(digest), public_key=key, signature=signature
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return facts["checkpoint"] if signed and type(facts.get("checkpoint")) is int else None


def read(file: Path) -> Iterator[bytes]:
    """Yield the lines of an anchors file, each cut at a length that no anchor has; raise OSError."""
    with file.open("rb") as stream:
        while line := stream.readline(_LONGEST_LINE):
            yield line.rstrip(b"\n")


def losses() -> list[Break]:
    """Return what the last anchor knows and the database does not: a checkpoint that is gone or another one."""
    file = path()
    try:
        with _locked(file) if file is not None and file.exists() else nullcontext() as descriptor:
            last = b"" if descriptor is None else _last_line(descriptor)
    except OSError:
        last = b""  # `append_newest` cannot write it either, and that is told
    if not last:
        return []
    seq = checkpoint_of(last)
    if seq is None:
        return [Break(CHECKPOINTS, 0, "anchor_invalid")]
    stored = Checkpoint.objects.filter(seq=seq).first()
    if stored is None:
        return [Break(CHECKPOINTS, seq, "checkpoint_missing")]
    return [] if line_of(stored) == last else [Break(CHECKPOINTS, seq, "anchor_differs")]


def set_aside(now: datetime) -> Path | None:
    """Give the file a name that says until when it was kept, as evidence; None when there is none. Raises OSError."""
    file = path()
    if file is None or not file.exists():
        return None
    return file.rename(file.with_name(f"{file.name}.until-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"))


def append_newest() -> bool:
    """Append the newest checkpoint if the file does not end with it; return False when it cannot be written."""
    file, newest = path(), Checkpoint.objects.order_by("-seq").first()
    if file is None or newest is None:
        return True
    line = line_of(newest)
    try:
        with _locked(file) as descriptor:
            if (last := _last_line(descriptor)) != line and (checkpoint_of(last) or 0) < newest.seq:
                _write(descriptor, line + b"\n")
    except OSError as error:
        logger.error("audit_anchor_not_written", error=type(error))  # noqa: TRY400 - its text names a path
        return False
    return True


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Hold the file against other processes of this machine; it is made, for its owner only, when it is not there."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _last_line(descriptor: int) -> bytes:
    """Return the last whole line; what a crash left half written does not count and is overwritten by `_write`."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - 2 * _LONGEST_LINE)
    whole, _, _ = os.pread(descriptor, size - start, start).rpartition(b"\n")
    return whole.rpartition(b"\n")[2]


def _write(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    start = max(0, size - 2 * _LONGEST_LINE)
    torn = len(os.pread(descriptor, size - start, start).rpartition(b"\n")[2])
    if torn:
        os.ftruncate(descriptor, size - torn)
    os.write(descriptor, line)
    os.fsync(descriptor)
