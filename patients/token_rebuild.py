"""Make the tokens of known patients anew: after a change of the index key, of the spelling, or of the rows themselves.

Office by office and batch by batch, each in a transaction of its own under the office lock: it may be stopped at any
time, and the next run goes on with what is left.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from offices.encryption import CiphertextUnreadable
from offices.locking import OfficeBusy, lock_office
from offices.models import Office
from patients.identity import PatientIdentity
from patients.identity_tokens import PatientToken, Token, present_key_id, tokens_of, write_tokens

_BATCH = 500  # identities under one office lock: some tenths of a second
_BEFORE_ALL = UUID(int=0)

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did; `busy` and `unreadable` name offices, with how many identities could not be read."""

    counts: Counter[str] = field(default_factory=Counter)
    busy: list[str] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)


def rebuild_tokens(
    *, everything: bool = False, dry_run: bool = False, progress: Progress = lambda _done, _total: None
) -> Rebuilt:
    """Bring the tokens of identities up to date: those with none under the present key, or of `everything`.

    A busy office and an unreadable identity are noted and left; the next run tries them again.
    """
    rebuilt, waiting = Rebuilt(), _waiting(everything=everything)
    total, done = waiting.count(), 0
    for office_id in waiting.order_by("office_id").values_list("office_id", flat=True).distinct():
        for seen in _office(office_id, rebuilt, everything=everything, dry_run=dry_run):
            done += seen
            progress(done, total)
    return rebuilt


def _waiting(*, everything: bool) -> QuerySet[PatientIdentity]:
    if everything:
        return PatientIdentity.objects.all()
    present = PatientToken.objects.filter(patient_id=OuterRef("patient_id"), key_id=present_key_id())
    return PatientIdentity.objects.filter(~Exists(present))


def _office(office_id: UUID, rebuilt: Rebuilt, *, everything: bool, dry_run: bool) -> Iterator[int]:
    """Yield how many identities of the office each transaction has dealt with."""
    after: UUID | None = _BEFORE_ALL
    while after is not None:
        try:
            with transaction.atomic():
                office = lock_office(office_id)
                among = _waiting(everything=everything).filter(office_id=office_id, patient_id__gt=after)
                batch = list(among.order_by("patient_id")[:_BATCH])
                _rebuild(batch, office, rebuilt)
                transaction.set_rollback(dry_run)
        except OfficeBusy:
            rebuilt.busy.append(Office.objects.values_list("reference", flat=True).get(pk=office_id))
            return
        yield len(batch)
        after = batch[-1].patient_id if len(batch) == _BATCH else None


def _rebuild(batch: list[PatientIdentity], office: Office, rebuilt: Rebuilt) -> None:
    rebuilt.counts["identities"] += len(batch)
    changed: list[UUID] = []
    fresh: list[Token] = []
    stored = _stored([row.patient_id for row in batch])
    for row in batch:
        try:
            tokens = tokens_of(row.open(), patient_id=row.patient_id, office_id=row.office_id)
        except CiphertextUnreadable:
            rebuilt.unreadable[office.reference] += 1
            continue
        if set(tokens) != stored.get(row.patient_id, set()):
            changed.append(row.patient_id)
            fresh.extend(tokens)
    write_tokens(fresh, replacing=changed)
    rebuilt.counts.update(identities_changed=len(changed), tokens_written=len(fresh))


def _stored(patient_ids: list[UUID]) -> dict[UUID, set[Token]]:
    found: dict[UUID, set[Token]] = {}
    for row in PatientToken.objects.filter(patient_id__in=patient_ids):
        token = Token(row.patient_id, row.kind, row.digest.hex, row.office_id, row.key_id)
        found.setdefault(token.patient_id, set()).add(token)
    return found
