"""Import patient accounts and their periods of activity from a CSV file (product.md, decisions.md 6 and 27).

Writes periods only, no bill: the run charges what is missing when it closes a cycle. A file is taken in as a whole or
not at all, a chunk at a time: memory does not grow with it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit.chain import Fact, record_many
from offices.audit_stream import office_stream
from offices.csv_rows import CsvRow, in_chunks, read_rows
from offices.import_findings import (
    Cause,
    Findings,
    ImportSummary,
    ProblemCode,
    Progress,
    RowRejected,
    summed_up,
    values_kept_in,
)
from offices.locking import lock_offices
from patients.import_accounts import AccountBook, Outcome
from patients.import_rows import COLUMNS, PatientRow, read_patient_row
from patients.import_survey import Survey, survey_file
from patients.registration import RecordNumber

COUNTS = ("rows", "patients_created", "periods_created", "periods_ended", "identities_updated", "unchanged")
_CHUNK_ROWS = 1_000  # enough that queries no longer count, some megabytes of memory
_LOCKED_AT_ONCE = 1_000  # offices in one statement


@values_kept_in
def import_patients(
    *,
    path: Path,
    actor: str,
    now: datetime,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> ImportSummary:
    """Take in the file in one transaction; any refused row and nothing is written. A second time changes nothing.

    With `dry_run` the same code runs and is rolled back. Raises FileUnusable, OfficeBusy, ImportClash.
    """
    survey = survey_file(path)
    with transaction.atomic():
        offices = _locked(survey.office_ids)
        # Read under the locks: an end must not seem written down before a line that was made while we waited.
        work = _PatientImport(survey, offices, now, recorded_at=max(now, timezone.now()))
        for chunk in in_chunks(read_rows(path, COLUMNS), _CHUNK_ROWS):
            work.take_in(chunk)
            progress(work.counts["rows"], survey.rows)
        work.take_in_waiting(read_rows(path, COLUMNS))
        record_many(work.facts(), actor=actor, now=now)
        if dry_run or work.findings.rejected:
            transaction.set_rollback(True)
    return summed_up(work.counts, COUNTS, work.findings)


def _locked(office_ids: dict[str, UUID]) -> dict[str, UUID]:
    """Lock the offices in id order (architecture.md, "One lock order"): the ids of periods grow under this lock."""
    return {
        office.reference: office.pk
        for some in in_chunks(sorted(office_ids.values()), _LOCKED_AT_ONCE)
        for office in lock_offices(some)
    }


class _PatientImport:
    """One import in progress: what it found, what it did, and which rows wait for another row."""

    def __init__(self, survey: Survey, offices: dict[str, UUID], now: datetime, *, recorded_at: datetime) -> None:
        self.findings = Findings()
        self.counts: Counter[str] = Counter()
        self._survey, self._offices, self._now, self._recorded_at = survey, offices, now, recorded_at
        self._waiting: set[int] = set()
        self._by_office: dict[str, Counter[str]] = defaultdict(Counter)

    def take_in(self, rows: list[CsvRow]) -> None:
        """Take in a chunk; a refused row is noted and left out, so that every error of the file is found."""
        self.counts["rows"] += len(rows)
        self._take_in(rows, may_wait=True)

    def take_in_waiting(self, rows: Iterable[CsvRow]) -> None:
        """Take in the rows that waited: by now, every end that the file tells is written."""
        if self._waiting:
            for chunk in in_chunks((row for row in rows if row.number in self._waiting), _CHUNK_ROWS):
                self._take_in(chunk, may_wait=False)

    def facts(self) -> list[Fact]:
        """Return one fact for each office in which anything changed."""
        return [
            Fact(office_stream(reference), "patients.imported", dict(counts))
            for reference, counts in self._by_office.items()
        ]

    def _take_in(self, rows: list[CsvRow], *, may_wait: bool) -> None:
        read = [found for row in rows if (found := self._read(row)) is not None]
        book = AccountBook({key for _, key in read})
        for row, key in read:
            try:
                self._apply(row, key, book, may_wait=may_wait)
            except RowRejected as rejection:
                self.findings.reject(row.number, rejection)
        book.write(now=self._now)

    def _read(self, row: CsvRow) -> tuple[PatientRow, RecordNumber] | None:
        try:
            read = read_patient_row(row, now=self._now)
            return read, (self._office_id(read.office_reference), read.identity.external_id)
        except RowRejected as rejection:
            self.findings.reject(row.number, rejection)
            return None

    def _office_id(self, reference: str) -> UUID:
        if reference not in self._offices:
            raise RowRejected(Cause("office_reference", ProblemCode.UNKNOWN_OFFICE))
        return self._offices[reference]

    def _apply(self, row: PatientRow, key: RecordNumber, book: AccountBook, *, may_wait: bool) -> None:
        account, is_new = book.account(key)
        outcome = Outcome.UNCHANGED
        if row.number not in self._survey.without_say_on_end:
            outcome = account.record(row.activated_at, row.deactivated_at, now=self._recorded_at)
        if outcome is Outcome.WAITS:
            if not may_wait:
                raise RowRejected(Cause("activated_at", ProblemCode.OVERLAPPING_PERIODS))
            self._waiting.add(row.number)
            return
        changes = ["patients_created"] if is_new else []
        changes += [] if outcome is Outcome.UNCHANGED else [outcome.value]
        superseded = row.number in self._survey.superseded
        if superseded:
            self.findings.warn(row.number, "external_id", ProblemCode.IDENTITY_SUPERSEDED)
        if (is_new or not superseded) and account.describe(row.identity) and not is_new:
            changes.append("identities_updated")
        self._count(row.office_reference, changes)

    def _count(self, reference: str, changes: list[str]) -> None:
        self.counts.update(changes or ["unchanged"])
        if changes:
            self._by_office[reference].update(changes)
