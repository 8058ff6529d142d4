"""Make checkpoints: a signed Merkle root over the heads of all streams, chained, anchored outside the database.

What a checkpoint has sealed cannot be cut, rewritten or taken away unseen, not even with the keys of the entries
(reliability.md, "Audit"). Heads are compared, never row numbers: `id > last` would miss what was numbered early and
committed late. Nothing is locked, so no writer ever waits for a checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Subquery

from audit import anchors, seal, signing
from audit.breaks import CHECKPOINTS, Break
from audit.bulk_rows import insert_all
from audit.chain_check import head_is_sealed
from audit.merkle import MerkleTree
from audit.models import GENESIS, Checkpoint, SealedHead, StreamHead


@dataclass(slots=True)
class Outcome:
    """What came of it: the checkpoint when one was made, how many heads it sealed, and what it refused to seal."""

    checkpoint: Checkpoint | None = None
    heads: int = 0
    anchored: int = 0
    refused: list[Break] = field(default_factory=list)


def make_checkpoint(*, now: datetime, dry_run: bool = False) -> Outcome:
    """Seal what has changed since the last checkpoint, if anything has, and anchor the newest one.

    A stream whose head cannot be right stays as it was last sealed and is told in `refused`; the others go on. Nothing
    is made when the anchors know a checkpoint that the database has lost. Of two at once one wins; the other one makes
    nothing, and the next checkpoint seals what it saw.
    """
    outcome = Outcome(refused=anchors.losses())
    if outcome.refused:
        return outcome
    last = Checkpoint.objects.order_by("-seq").first()
    try:
        with transaction.atomic():
            _seal(last, outcome, now)
            transaction.set_rollback(dry_run)
    except IntegrityError:
        if not Checkpoint.objects.filter(seq=last.seq + 1 if last else 1).exists():
            raise
        outcome.checkpoint, outcome.heads = None, 0
    if not dry_run and not anchors.append_newest():
        outcome.refused.append(Break(CHECKPOINTS, last.seq if last else 0, "anchor_not_written"))
    return outcome


def _seal(last: Checkpoint | None, outcome: Outcome, now: datetime) -> None:
    leaves, changed = _survey(last.streams if last else 0, outcome.refused)
    if not changed:
        return
    tree = MerkleTree()
    tree.update({head.place: _leaf(head) for head in leaves})
    made = Checkpoint(
        seq=last.seq + 1 if last else 1,
        at=now,
        streams=len(tree),
        entries=sum(head.seq for head in leaves),
        root=tree.root(),
        previous=last.digest if last else GENESIS,
    )
    made.digest = digest_of(made)
    made.public_key, made.signature = signing.sign(signing.CHECKPOINT, bytes.fromhex(made.digest))
    made.save(force_insert=True)
    for head in changed:
        head.checkpoint = made
    insert_all(changed)
    outcome.checkpoint, outcome.heads = made, len(changed)


def digest_of(checkpoint: Checkpoint) -> str:
    """Return the digest that these columns must have; raise ValueError when `previous` is no hexadecimal text."""
    return seal.checkpoint_digest(
        seq=checkpoint.seq,
        at=checkpoint.at,
        streams=checkpoint.streams,
        entries=checkpoint.entries,
        root=checkpoint.root,
        previous=checkpoint.previous,
    )


def _leaf(head: SealedHead) -> bytes:
    return seal.leaf_hash(stream=head.stream, seq=head.seq, digest=head.digest)


def _survey(places: int, refused: list[Break]) -> tuple[list[SealedHead], list[SealedHead]]:
    """Return every leaf of the next tree, and those of them that are not sealed yet."""
    leaves: list[SealedHead] = []
    changed: list[SealedHead] = []
    newcomers: list[SealedHead] = []
    for head, sealed in _heads():
        if sealed is not None and (head.seq, head.digest) == (sealed.seq, sealed.digest):
            leaves.append(sealed)
        elif (code := _fault(head, sealed)) is not None:
            refused.append(Break(head.stream, head.seq, code))
            leaves += [sealed] if sealed else []
        else:
            place = sealed.place if sealed else -1
            following = SealedHead(place=place, stream=head.stream, seq=head.seq, digest=head.digest)
            (changed if sealed else newcomers).append(following)
    leaves += changed
    leaves += _left_behind(places, leaves, refused)
    # In the order of their names, so that anybody can say which place is whose.
    for place, newcomer in enumerate(sorted(newcomers, key=lambda head: head.stream), start=places):
        newcomer.place = place
    return leaves + newcomers, changed + newcomers


def _heads() -> list[tuple[StreamHead, SealedHead | None]]:
    """Return each head, all as of one instant, with the last one sealed of its stream."""
    latest = SealedHead.objects.filter(stream=OuterRef("stream")).order_by("-seq").values("pk")[:1]
    heads = list(StreamHead.objects.filter(seq__gt=0).annotate(sealed=Subquery(latest)))
    keys = [head.sealed for head in heads if head.sealed is not None]
    sealed = {row.pk: row for row in SealedHead.objects.filter(pk__among=keys)} if keys else {}
    return [(head, sealed.get(head.sealed)) for head in heads]


def _fault(head: StreamHead, sealed: SealedHead | None) -> str | None:
    """Say why this head must not be sealed: a signature would make a forgery good."""
    if sealed is not None and head.seq <= sealed.seq:
        return "head_behind_checkpoint"
    return None if head_is_sealed(head) else "head_seal_invalid"


def _left_behind(places: int, leaves: Sequence[SealedHead], refused: list[Break]) -> list[SealedHead]:
    """Return the leaves of streams that have lost their head: they keep their place."""
    missing = set(range(places)) - {head.place for head in leaves}
    found = []
    for place in sorted(missing):
        last = SealedHead.objects.filter(place=place).order_by("-seq").first()
        if last is not None:
            found.append(last)
            refused.append(Break(last.stream, last.seq, "head_missing"))
    return found
