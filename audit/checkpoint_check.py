"""Verify checkpoints: their signatures, their chain, their roots, and that what they sealed is still there.

Roots are computed anew from the sealed heads, and each sealed head must be an entry of today: so a root stands for the
entries as of its checkpoint. Memory grows with the number of streams, not with entries or checkpoints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.db.models import Exists, Max, OuterRef

from audit import anchors, seal, signing
from audit.breaks import CHECKPOINTS, Break
from audit.checkpoints import digest_of
from audit.merkle import MerkleTree, PlaceMissing
from audit.models import GENESIS, AuditEntry, Checkpoint, SealedHead

_CHUNK = 5000  # rows held at once


@dataclass(slots=True)
class Checked:
    """How many checkpoints and anchors were looked at, and what does not verify."""

    checkpoints: int = 0
    anchors: int = 0
    breaks: list[Break] = field(default_factory=list)

    def report(self, seq: int, code: str) -> None:
        """Keep a break of the checkpoints themselves."""
        self.breaks.append(Break(CHECKPOINTS, seq, code))


def check_checkpoints(streams: Sequence[str] | None, anchors_file: Path | None) -> Checked:
    """Return what is found; of the streams named, or of all, the sealed heads are looked for among the entries."""
    checked = Checked()
    _walk(checked, _Anchors(checked, anchors_file))
    checked.breaks += _not_as_sealed(streams)
    return checked


def _walk(checked: Checked, held: "_Anchors") -> None:
    tree, sealed, previous, expected = MerkleTree(), _SealedHeads(), GENESIS, 1
    for checkpoint in Checkpoint.objects.order_by("seq").iterator(chunk_size=_CHUNK):
        checked.checkpoints += 1
        if checkpoint.seq != expected:
            checked.report(expected, "checkpoint_missing")
        elif checkpoint.previous != previous:
            checked.report(checkpoint.seq, "checkpoint_chain_broken")
        if (code := _fault_of(checkpoint)) is not None:
            checked.report(checkpoint.seq, code)
        if not _grows_to(tree, sealed.up_to(checkpoint.seq), checkpoint):
            checked.report(checkpoint.seq, "checkpoint_root_differs")
        held.meet(checkpoint)
        previous, expected = checkpoint.digest, checkpoint.seq + 1
    if sealed.is_left():
        checked.report(expected, "checkpoint_missing")
    held.finish()


def _fault_of(checkpoint: Checkpoint) -> str | None:
    try:
        as_hashed = digest_of(checkpoint) == checkpoint.digest
    except ValueError:
        as_hashed = False
    if not as_hashed:
        return "checkpoint_edited"
    if not signing.is_ours(checkpoint.public_key):
        return "signing_key_unknown"
    signed = signing.is_signed(
        signing.CHECKPOINT,
        bytes.fromhex(checkpoint.digest),
        public_key=checkpoint.public_key,
        signature=checkpoint.signature,
    )
    return None if signed else "checkpoint_signature_invalid"


def _grows_to(tree: MerkleTree, leaves: dict[int, bytes], checkpoint: Checkpoint) -> bool:
    try:
        tree.update(leaves)
    except PlaceMissing:
        return False
    return (tree.root(), len(tree)) == (checkpoint.root, checkpoint.streams)


class _SealedHeads:
    """The leaves in the order in which checkpoints sealed them."""

    def __init__(self) -> None:
        rows = SealedHead.objects.order_by("checkpoint_id", "place")
        columns = rows.values_list("checkpoint_id", "place", "stream", "seq", "digest")
        self._rows: Iterator[tuple[int, int, str, int, str]] = columns.iterator(chunk_size=_CHUNK)
        self._next = next(self._rows, None)

    def up_to(self, checkpoint: int) -> dict[int, bytes]:
        leaves = {}
        while self._next is not None and self._next[0] <= checkpoint:
            _, place, stream, seq, digest = self._next
            leaves[place] = seal.leaf_hash(stream=stream, seq=seq, digest=digest)
            self._next = next(self._rows, None)
        return leaves

    def is_left(self) -> bool:
        return self._next is not None


class _Anchors:
    """Walks the anchors beside the checkpoints, both in the order of their positions."""

    def __init__(self, checked: Checked, file: Path | None) -> None:
        self._checked = checked
        self._lines = anchors.read(file) if file else iter(())
        self._seq, self._line, self._last = 0, b"", 0
        self._advance()

    def meet(self, checkpoint: Checkpoint) -> None:
        while self._line and self._seq < checkpoint.seq:
            self._checked.report(self._seq, "checkpoint_missing")
            self._advance()
        if self._line and self._seq == checkpoint.seq:
            if self._line != anchors.line_of(checkpoint):
                self._checked.report(self._seq, "anchor_differs")
            self._advance()

    def finish(self) -> None:
        """What is left speaks of checkpoints that the database does not have: rolled back."""
        while self._line:
            self._checked.report(self._seq, "checkpoint_missing")
            self._advance()

    def _advance(self) -> None:
        """Go to the next line that is an anchor signed by us and comes after the one before."""
        for line in self._lines:
            self._checked.anchors += 1
            seq = anchors.checkpoint_of(line)
            if seq is None or seq <= self._last:
                self._checked.report(self._last, "anchor_invalid")
                continue
            self._seq, self._line, self._last = seq, line, seq
            return
        self._line = b""


def _not_as_sealed(streams: Sequence[str] | None) -> Iterator[Break]:
    """Yield the sealed heads that no entry answers to; of a stream that is gone altogether, its last one only."""
    same = AuditEntry.objects.filter(stream=OuterRef("stream"), seq=OuterRef("seq"), digest=OuterRef("digest"))
    lost = SealedHead.objects.filter(~Exists(same)).order_by("stream", "-seq")
    if streams is not None:
        lost = lost.filter(stream__in=streams)
    gone = None
    for head in lost.iterator(chunk_size=_CHUNK):
        if head.stream == gone:
            continue
        entries = AuditEntry.objects.filter(stream=head.stream)
        longest = entries.aggregate(longest=Max("seq"))["longest"]
        if longest is None:
            gone = head.stream
            yield Break(head.stream, head.seq, "stream_missing")
        elif longest < head.seq:
            yield Break(head.stream, head.seq, "tail_cut")
        else:
            yield Break(head.stream, head.seq, "sealed_entry_differs")
