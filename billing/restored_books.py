"""After a backup was restored: Stripe may hold what our books have forgotten, so delivery looks before it sends.

A restore takes away the proof that something was sent (reliability.md: the row that is committed before the request
leaves), while Stripe keeps what it got. `note_restore` puts that doubt on record, in a stream of the audit trail; from
then on each write about something that existed before counts as tried in the lost time, and what was tried is looked
for. Until it is noted, delivery stands still when the anchors know checkpoints that the database has lost.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction

from audit import anchors, seal
from audit.chain import Fact, record
from audit.models import AuditEntry
from billing.models import OutboxMessage, OutboxStep

STREAM = "books:restored"
# The database lost what was anchored, or went on otherwise. An unreadable anchor says nothing about the books.
_LOST = frozenset({"checkpoint_missing", "anchor_differs"})


class RestoreNotPossible(ValueError):
    """No backup can be of the future."""


@dataclass(frozen=True, slots=True)
class Noted:
    """How many steps now count as tried, and where the anchors of the lost time are kept; None if there are none."""

    steps_doubted: int
    anchors_set_aside: Path | None


def is_behind_anchors() -> bool:
    """Say whether the anchors know what the database has lost: it was rolled back, and nobody has noted it."""
    return any(lost.code in _LOST for lost in anchors.losses())


def note_restore(*, restored_to: datetime, actor: str, now: datetime, dry_run: bool = False) -> Noted:
    """Record that the books were restored to a moment, and put the anchors aside if they know more than the books.

    A moment too early costs a look each, one too late could charge twice: in doubt name the earlier one. Raises
    RestoreNotPossible, and OSError when the anchors cannot be moved: the doubt is on record then, and delivery stands
    still until somebody has moved them.
    """
    if restored_to > now:
        raise RestoreNotPossible("a backup cannot be of the future")
    with transaction.atomic():
        record(Fact(STREAM, "books.restored", {"restored_to": seal.instant(restored_to)}), actor=actor, now=now)
        doubted = OutboxStep.objects.filter(first_sent_at__isnull=True).update(first_sent_at=restored_to)
        transaction.set_rollback(dry_run)
    aside = anchors.set_aside(now) if is_behind_anchors() and not dry_run else None
    return Noted(doubted, aside)


def lost_try(message: OutboxMessage) -> datetime | None:
    """Return the first moment at which a forgotten try of this message may have reached Stripe, None if there is none.

    Only what existed when the restore was noted can have been sent before: the invoice's own row, or its cycle, which
    the run closes again. Customers and profiles belong to offices, and those are old.
    """
    notes = AuditEntry.objects.filter(stream=STREAM).values_list("at", "payload")
    existed = _existed_from(message) if notes else None
    doubts = [payload for noted_at, payload in notes if existed is None or existed < noted_at]
    return min((datetime.fromisoformat(json.loads(each)["restored_to"]) for each in doubts), default=None)


def _existed_from(message: OutboxMessage) -> datetime | None:
    if message.invoice is None:
        return None
    made, cycle = message.invoice.created_at, message.invoice.cycle
    return min(made, cycle.start_at) if cycle else made
