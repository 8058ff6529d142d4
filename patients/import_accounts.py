"""The accounts that a chunk of rows is about: loaded together, changed in memory, written together."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import UUID, uuid4

from offices.encryption import CiphertextUnreadable
from offices.import_findings import Cause, ProblemCode, RowRejected
from patients.identity import Identity, PatientIdentity
from patients.identity_tokens import Token, tokens_of, write_tokens
from patients.models import ActivityPeriod, Patient
from patients.registration import RecordNumber, find_identities

# Rows in one UPDATE ... CASE: beyond some hundred its text grows faster than it saves.
_UPDATE_BATCH = 200


class Outcome(Enum):
    """What a row did to the periods of its account."""

    CREATED = "periods_created"
    ENDED = "periods_ended"
    UNCHANGED = "unchanged"
    WAITS = "waits"  # for a row further down, which may end the period that is in the way


@dataclass(slots=True, repr=False)
class Account:
    """One patient account, with what is stored of it and what is to be written."""

    patient_id: UUID
    office_id: UUID
    stored: PatientIdentity | None = None
    identity: Identity | None = None
    identity_changed: bool = False
    periods: list[ActivityPeriod] = field(default_factory=list)
    ended: list[ActivityPeriod] = field(default_factory=list)

    def record(self, starts_at: datetime, ends_at: datetime | None, *, now: datetime) -> Outcome:
        """Take in one period (decisions.md 3 and 27); raise RowRejected when it contradicts what is recorded."""
        same = next((period for period in self.periods if period.activated_at == starts_at), None)
        if same is not None:
            return self._meet(same, ends_at, now)
        in_the_way = [period for period in self.periods if _overlap(period, starts_at, ends_at)]
        if in_the_way:
            if all(period.deactivated_at is None for period in in_the_way):
                return Outcome.WAITS
            raise RowRejected(Cause("activated_at", ProblemCode.OVERLAPPING_PERIODS))
        self.periods.append(
            ActivityPeriod(
                patient_id=self.patient_id, office_id=self.office_id, activated_at=starts_at, deactivated_at=ends_at
            )
        )
        return Outcome.CREATED

    def describe(self, identity: Identity) -> bool:
        """Take over who the person is; return whether that was otherwise. Raises RowRejected."""
        if self.identity is None and self.stored is not None:
            self.identity = _opened(self.stored)
        changed, self.identity = self.identity != identity, identity
        self.identity_changed |= changed
        return changed

    def _meet(self, period: ActivityPeriod, ends_at: datetime | None, now: datetime) -> Outcome:
        # A file that does not know the end yet is older than we are: an ended period stays ended.
        if ends_at in {None, period.deactivated_at}:
            return Outcome.UNCHANGED
        if period.deactivated_at is not None:
            raise RowRejected(Cause("deactivated_at", ProblemCode.END_DIFFERS))
        period.deactivated_at, period.deactivation_recorded_at = ends_at, now
        if period.pk is not None:
            self.ended.append(period)
        return Outcome.ENDED


class AccountBook:
    """The accounts of a chunk by office and record number; an unknown one is new."""

    def __init__(self, wanted: Collection[RecordNumber]) -> None:
        """Load what exists of them: one query for the identities of some offices, one for the periods."""
        stored = find_identities(wanted)
        periods = defaultdict(list)
        for period in ActivityPeriod.objects.filter(patient__in=[row.patient_id for row in stored.values()]):
            periods[period.patient_id].append(period)
        self._accounts = {
            key: Account(row.patient_id, row.office_id, stored=row, periods=periods[row.patient_id])
            for key, row in stored.items()
        }

    def account(self, key: RecordNumber) -> tuple[Account, bool]:
        """Return the account, and whether it is a new one."""
        known = self._accounts.get(key)
        if known is not None:
            return known, False
        self._accounts[key] = made = Account(uuid4(), key[0])
        return made, True

    def write(self, *, now: datetime) -> None:
        """Write what has changed. Ends before beginnings: a period may begin where another one ends just now."""
        accounts = self._accounts.values()
        new = [account for account in accounts if account.stored is None]
        Patient.objects.bulk_create(
            [Patient(reference=account.patient_id, office_id=account.office_id, created_at=now) for account in new]
        )
        PatientIdentity.objects.bulk_create(_sealed(new))
        changed = [account for account in accounts if account.stored is not None and account.identity_changed]
        PatientIdentity.objects.bulk_update(_resealed(changed), ["sealed"], batch_size=_UPDATE_BATCH)
        write_tokens(_tokens([*new, *changed]), replacing=[account.patient_id for account in changed])
        ActivityPeriod.objects.bulk_update(
            [period for account in accounts for period in account.ended],
            ["deactivated_at", "deactivation_recorded_at"],
            batch_size=_UPDATE_BATCH,
        )
        ActivityPeriod.objects.bulk_create(
            [period for account in accounts for period in account.periods if period.pk is None]
        )


def _overlap(period: ActivityPeriod, starts_at: datetime, ends_at: datetime | None) -> bool:
    """Return whether two half-open intervals share a moment; those that touch do not."""
    return (ends_at is None or period.activated_at < ends_at) and (
        period.deactivated_at is None or starts_at < period.deactivated_at
    )


def _opened(stored: PatientIdentity) -> Identity:
    try:
        return stored.open()
    except CiphertextUnreadable:
        raise RowRejected(Cause("external_id", ProblemCode.IDENTITY_UNREADABLE)) from None


def _sealed(accounts: Iterable[Account]) -> list[PatientIdentity]:
    return [
        PatientIdentity.seal(patient_id=account.patient_id, office_id=account.office_id, identity=account.identity)
        for account in accounts
        if account.identity is not None
    ]


def _resealed(accounts: Iterable[Account]) -> list[PatientIdentity]:
    changed = []
    for account in accounts:
        if account.stored is not None and account.identity is not None:
            account.stored.reseal(account.identity)
            changed.append(account.stored)
    return changed


def _tokens(accounts: Iterable[Account]) -> Iterator[Token]:
    for account in accounts:
        if account.identity is not None:
            yield from tokens_of(account.identity, patient_id=account.patient_id, office_id=account.office_id)
