"""Go over many offices chunk by chunk: one transaction each, the poison office alone, a cap on what is billed.

The monthly run and the backfill of invoices go the same way and differ in what they do to a chunk. Killed at any
point, the next pass does the rest. A chunk that fails is done again office by office, and the others go on.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing.fail_points import FailPoint, reach
from billing.lost_connection import is_lost_connection
from billing.models import BillingRun, ParkedOffice, ParkingCode, RunStatus
from billing.parking import park_office
from billing.payment_status import refresh_past_due
from billing.run_chunk import Tally
from billing.safety_bounds import BoundBroken
from offices.locking import OfficeBusy, OfficeNotFound, lock_offices
from offices.models import Office
from offices.timeline import NoPriceVersion

logger = structlog.get_logger(__name__)

CHUNK_SIZE = 500  # offices: large enough for set-based speed, small enough to commit within a second or two
RETRYABLE = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout (reliability.md, "Retry")
RETRIES = 5
CAP_WINDOW = timedelta(hours=24)  # BILLING_RUN_CAP_CENTS bounds what is billed within a day
COUNTS = ("cycles_opened", "cycles_closed", "lines_added", "invoices_closed", "offices_parked", "already_done")
PARKED = "parked; look into it, then unpark_office"

Progress = Callable[[int, int], None]
# What is done to a chunk of offices; the caller holds their locks and owns the transaction.
Work = Callable[[Sequence[Office]], Tally]


class RunCapExceeded(Exception):
    """This run would bill more than BILLING_RUN_CAP_CENTS; a person must look before it goes on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person, or that will be tried again."""

    office: str
    code: str
    message: str


@dataclass(slots=True)
class RunSummary:
    """What a run did: counts, cents by currency, and problems; `needs_attention` sets the exit code."""

    tally: Tally = field(default_factory=Tally)
    problems: list[Problem] = field(default_factory=list)
    needs_attention: bool = False


def offices_in_scope(office_reference: str | None) -> QuerySet[Office]:
    """Return the offices, not parked, that a pass looks at; raise OfficeNotFound for an unknown reference."""
    offices = Office.objects.filter(parked_at__isnull=True)
    if office_reference is None:
        return offices
    if not Office.objects.filter(reference=office_reference).exists():
        raise OfficeNotFound("there is no office with this reference")
    return offices.filter(reference=office_reference)


class OfficeRun:
    """One pass in progress: its row, its tally, and what to do when a chunk fails.

    With `parks`, an office in doubt is parked; otherwise it is only told: what already runs goes on.
    """

    def __init__(
        self,
        work: Work,
        *,
        as_of: datetime,
        actor: str,
        now: datetime,
        dry_run: bool,
        parks: bool = True,
        row: BillingRun | None = None,
    ) -> None:
        self.work, self.actor, self.now, self.dry_run, self.parks = work, actor, now, dry_run, parks
        self.summary = RunSummary()
        self.row = row or BillingRun(as_of=as_of, actor=actor, started_at=now)
        self.offices_in_scope = self.billed_lately = self.worked_through = 0
        # Due when looked for, and done by another run by the time they were locked.
        self.done_meanwhile = 0
        self.held: list[UUID] = []  # by another transaction, when their chunk was billed

    def go_over(
        self, due: QuerySet[Office], *, in_scope: int, progress: Progress, chunk_size: int = CHUNK_SIZE
    ) -> RunSummary:
        """Work on each office that is due, and return what came of it."""
        due_ids = due.values_list("pk", flat=True).order_by("pk")
        self.row.offices_due, done = due_ids.count(), 0
        self._start(in_scope)
        try:
            for chunk in _chunks(due_ids, chunk_size):
                self._bill(chunk, skip_locked=True)
                done += len(chunk)
                progress(done, self.row.offices_due)
            self._bill_held(due_ids, chunk_size)
        except RunCapExceeded:
            self._stop_at_cap()
            done = self.row.offices_due  # those that were not reached are not done
        return self._finish(worked_on=done)

    def _start(self, in_scope: int) -> None:
        self.offices_in_scope = in_scope
        self.billed_lately = _billed_since(self.now - CAP_WINDOW, self.now)
        if not self.dry_run:
            self.row.save()

    def _bill(self, office_ids: Sequence[UUID], *, skip_locked: bool) -> None:
        """Bill a chunk at once; one by one where it does not go through. What others hold waits for `_bill_held`."""
        try:
            locked = self._transact(office_ids, skip_locked=skip_locked)
        except RunCapExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one office of the chunk did, each is tried alone now
            _raise_if_disconnected(error)
            for office_id in sorted(office_ids):
                self._bill_one(office_id)
        else:
            self.held += sorted(set(office_ids) - locked)

    def _bill_held(self, due: QuerySet[Office, UUID], chunk_size: int) -> None:
        """Come back to the offices that were held: a second run leaps over this one's chunks, and has done most."""
        held, self.held = self.held, []
        left = list(due.filter(pk__among=held))
        self.done_meanwhile += len(held) - len(left)
        for start in range(0, len(left), chunk_size):
            self._bill(left[start : start + chunk_size], skip_locked=False)

    def _transact(self, office_ids: Sequence[UUID], *, skip_locked: bool) -> set[UUID]:
        """Bill the offices that can be locked, in one transaction; return their ids."""
        with transaction.atomic():
            locked = lock_offices(office_ids, skip_locked=skip_locked)
            if not locked:  # another run has the whole chunk
                return set()
            offices = [office for office in locked if office.parked_at is None]  # one may have been parked meanwhile
            tally = self.work(offices)
            self._check_cap(tally)
            parked = _parked_among(offices)
            tally.counts["offices_parked"] += len(parked)
            if self.dry_run:
                transaction.set_rollback(True)
            else:
                self._record(tally, len(offices))
        reach(FailPoint.RUN_CHUNK_COMMITTED)
        self.summary.tally.add(tally)
        self.summary.problems += [Problem(reference, code, PARKED) for reference, code in parked]
        self.summary.needs_attention |= bool(parked)
        self.worked_through += len(offices)
        self.done_meanwhile += 0 if any(tally.counts[name] for name in COUNTS) else len(offices)
        return {office.pk for office in locked}

    def _bill_one(self, office_id: UUID) -> None:
        try:
            self._retry(office_id)
        except OfficeBusy:
            self._problem(office_id, "office_busy", "held by another transaction; the next run bills it")
        except BoundBroken as error:
            self._park(office_id, error.code)
        except NoPriceVersion:
            self._park(office_id, ParkingCode.NO_PRICE_VERSION)
        except RunCapExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - one poison office must not stop the others; it is parked and told
            _raise_if_disconnected(error)
            self._park(office_id, ParkingCode.UNEXPECTED_ERROR, error)

    def _retry(self, office_id: UUID) -> None:
        for attempt in range(RETRIES):
            try:
                self._transact([office_id], skip_locked=False)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) not in RETRYABLE or attempt == RETRIES - 1:
                    raise
                time.sleep(random.uniform(0.01, 0.1) * 2**attempt)  # noqa: S311 - jitter, not a secret
            else:
                return

    def _check_cap(self, tally: Tally) -> None:
        billed = self.billed_lately + sum(self.summary.tally.billed.values()) + sum(tally.billed.values())
        if billed > settings.BILLING_RUN_CAP_CENTS:
            raise RunCapExceeded("the run would bill more than BILLING_RUN_CAP_CENTS")

    def _park(self, office_id: UUID, code: ParkingCode, error: Exception | None = None) -> None:
        self.summary.needs_attention = True
        if not self.parks:
            logger.error("office_left_out", code=code, error=type(error))
            self._problem(office_id, code, "nothing was done for this office; look into it and try again")
            return
        self.summary.tally.counts["offices_parked"] += 1
        if not self.dry_run:
            incident = park_office(office_id=office_id, code=code, actor=self.actor, now=self.now)
            # The type alone: a database error's text would print row values.
            logger.error("office_parked", code=code, incident=incident, error=type(error))
        self._problem(office_id, code, PARKED)

    def _problem(self, office_id: UUID, code: str, message: str) -> None:
        reference = Office.objects.values_list("reference", flat=True).get(pk=office_id)
        self.summary.problems.append(Problem(reference, code, message))

    def _stop_at_cap(self) -> None:
        self.summary.needs_attention = True
        message = "the run stopped: it would bill more than BILLING_RUN_CAP_CENTS; raise it if this is right"
        self.summary.problems.append(Problem("", ParkingCode.RUN_CAP_EXCEEDED, message))

    def _finish(self, *, worked_on: int) -> RunSummary:
        for office_id in self.summary.tally.grown:
            self._problem(
                office_id, "grown_suddenly", "many more patient accounts than last cycle; billed all the same"
            )
        self.summary.tally.counts["already_done"] = max(self.offices_in_scope - worked_on, 0) + self.done_meanwhile
        if not self.dry_run:
            self._record(Tally())
            refresh_past_due(now=self.now)  # due dates go by without anybody doing anything
            status = RunStatus.NEEDS_ATTENTION if self.summary.needs_attention else RunStatus.DONE
            # How long it took is a measurement, not a rule: the one place that reads the clock.
            BillingRun.objects.filter(pk=self.row.pk).update(status=status, finished_at=timezone.now())
        return self.summary

    def _record(self, tally: Tally, offices: int = 0) -> None:
        """Bring the run's row up to date, in the chunk's own transaction."""
        done = Tally()
        done.add(self.summary.tally)
        done.add(tally)
        for name in COUNTS:
            setattr(self.row, name, done.counts[name])
        self.row.billed = json.dumps(dict(done.billed))
        self.row.offices_done = self.worked_through + offices
        self.row.save(update_fields=[*COUNTS, "billed", "offices_done"])


def _parked_among(offices: Sequence[Office]) -> list[tuple[str, str]]:
    """Return reference and code of those billed and parked all the same, such as offices nobody can mail to."""
    parked = ParkedOffice.objects.filter(office__among=[office.pk for office in offices], unparked_at__isnull=True)
    return list(parked.order_by("office__reference").values_list("office__reference", "code"))


def _billed_since(start: datetime, end: datetime) -> int:
    """Return the cents that runs have billed in [start, end): the cap must not begin anew with every hourly run."""
    amounts = BillingRun.objects.filter(started_at__gte=start, started_at__lt=end).values_list("billed", flat=True)
    return sum(cents for billed in amounts for cents in json.loads(billed).values())


def _chunks(due: QuerySet[Office, UUID], size: int) -> Iterator[list[UUID]]:
    """Yield ids in order, each chunk read when its turn comes: flat memory, and another run's work is not redone."""
    last = None
    while chunk := list((due if last is None else due.filter(pk__gt=last))[:size]):
        yield chunk
        last = chunk[-1]


def _raise_if_disconnected(error: Exception) -> None:
    """A lost connection is nobody's fault: stop, and let the next run go on."""
    if is_lost_connection(error):
        raise error
