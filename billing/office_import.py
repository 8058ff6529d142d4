"""Import offices from a CSV file (product.md, decisions.md 8 and 27).

An office is found by its reference; a row without one by name and billing e-mail, as they stood before the import.
What changes takes effect as in `office_terms`: status, zone and plan from now on, the anchor only before the first
cycle. Each office the file changes gets one audit entry. A file is taken in as a whole or not at all.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Model

from audit.chain import Fact, record_many
from audit.seal import PayloadValue, instant
from billing.office_terms import after_activity, check_zone
from offices.audit_stream import office_stream
from offices.csv_rows import CsvRow, in_chunks, read_rows
from offices.import_findings import (
    Cause,
    Findings,
    ImportClash,
    ImportSummary,
    ProblemCode,
    Progress,
    RowRejected,
    summed_up,
    values_kept_in,
)
from offices.locking import lock_offices
from offices.models import BEGINNING, Office, OfficePlan, OfficeStatusChange, OfficeZone, Plan, new_reference
from offices.office_rows import COLUMNS, OfficeRow, read_office_row
from offices.timeline import Timeline, load_timelines

COUNTS = ("rows", "offices_created", "offices_updated", "unchanged")
_CHUNK_ROWS = 1_000
_LOCKED_AT_ONCE = 1_000  # offices in one statement

# What an office is, as the columns of its row, and what it is under from a time on, as dated rows.
_COLUMNS = ("name", "billing_email", "billing_cycle_anchor_date", "collection_method")
_TERMS = ("status", "timezone", "plan")

NameAndEmail = tuple[str, str]
Row = TypeVar("Row", bound=Model)


@dataclass(slots=True)
class _Survey:
    """What the first reading found: how many rows, the offices to lock, and whom the rows without reference mean."""

    rows: int = 0
    office_ids: set[UUID] = field(default_factory=set)
    unnamed: dict[NameAndEmail, list[str]] = field(default_factory=dict)


@values_kept_in
def import_offices(
    *,
    path: Path,
    actor: str,
    now: datetime,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> ImportSummary:
    """Take in the file in one transaction; any refused row and nothing is written. A second time changes nothing.

    The notes of the summary tell which office each row without a reference became. With `dry_run` the same code runs
    and is rolled back. Raises FileUnusable, OfficeBusy, ImportClash.
    """
    survey = _survey(path)
    with transaction.atomic():
        for some in in_chunks(sorted(survey.office_ids), _LOCKED_AT_ONCE):
            lock_offices(some)
        work = _OfficeImport(survey, actor=actor, now=now, dry_run=dry_run)
        for chunk in in_chunks(read_rows(path, COLUMNS), _CHUNK_ROWS):
            work.take_in(chunk)
            progress(work.counts["rows"], survey.rows)
        if dry_run or work.findings.rejected:
            transaction.set_rollback(True)
    return summed_up(work.counts, COUNTS, work.findings, tuple(work.notes))


def _survey(path: Path) -> _Survey:
    survey = _Survey()
    for chunk in in_chunks(read_rows(path, COLUMNS), _CHUNK_ROWS):
        cells = [row.texts for row in chunk if not row.causes]
        survey.rows += len(chunk)
        named = Office.objects.filter(reference__in={each["reference"] for each in cells})
        survey.office_ids.update(named.values_list("pk", flat=True))
        unnamed = {(each["name"], each["billing_email"]) for each in cells if not each["reference"]}
        survey.unnamed |= {each: survey.unnamed.get(each, []) for each in unnamed}
        alike = Office.objects.filter(
            name__in={name for name, _ in unnamed}, billing_email__in={email for _, email in unnamed}
        )
        for office_id, reference, name, email in alike.values_list("pk", "reference", "name", "billing_email"):
            if (name, email) in unnamed and reference not in survey.unnamed[name, email]:
                survey.unnamed[name, email].append(reference)
                survey.office_ids.add(office_id)
    return survey


@dataclass(slots=True)
class _Writes:
    """What a chunk writes, together at its end."""

    created: list[Office] = field(default_factory=list)
    updated: list[Office] = field(default_factory=list)
    statuses: list[OfficeStatusChange] = field(default_factory=list)
    zones: list[OfficeZone] = field(default_factory=list)
    plans: list[OfficePlan] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def flush(self, *, actor: str, now: datetime) -> None:
        Office.objects.bulk_create(self.created)
        Office.objects.bulk_update(self.updated, _COLUMNS, batch_size=100)
        _upsert(OfficeStatusChange, self.statuses, "status")
        _upsert(OfficeZone, self.zones, "timezone")
        _upsert(OfficePlan, self.plans, "plan")
        record_many(self.facts, actor=actor, now=now)


def _upsert(model: type[Row], rows: list[Row], column: str) -> None:
    """Insert dated rows; one of the same instant says the new thing, as `office_terms` does it."""
    model._default_manager.bulk_create(
        rows, update_conflicts=True, unique_fields=["office", "effective_at"], update_fields=[column]
    )


class _OfficeImport:
    """One import in progress; the caller holds the locks and owns the transaction."""

    def __init__(self, survey: _Survey, *, actor: str, now: datetime, dry_run: bool) -> None:
        self.findings, self.notes = Findings(), list[str]()
        self.counts: Counter[str] = Counter()
        self._survey, self._actor, self._now, self._dry_run = survey, actor, now, dry_run
        self._plans = {plan.code: plan for plan in Plan.objects.all()}
        self._seen: set[str] = set()
        self._seen_names: set[NameAndEmail] = set()
        self._writes = _Writes()

    def take_in(self, rows: list[CsvRow]) -> None:
        """Take in a chunk; a refused row is noted and left out, so that every error of the file is found."""
        self.counts["rows"] += len(rows)
        read = [found for row in rows if (found := self._read(row)) is not None]
        known = {
            office.reference: office
            for office in Office.objects.filter(reference__in=[reference for _, reference in read if reference])
        }
        if not self._survey.office_ids.issuperset(office.pk for office in known.values()):
            raise ImportClash("an office of this file was made by somebody else at this moment; import the file again")
        timelines = load_timelines(office.pk for office in known.values())
        for row, reference in read:
            try:
                self._apply(row, reference, known.get(reference), timelines)
            except RowRejected as rejection:
                self.findings.reject(row.number, rejection)
        self._writes.flush(actor=self._actor, now=self._now)
        self._writes = _Writes()

    def _read(self, row: CsvRow) -> tuple[OfficeRow, str] | None:
        """Return the row and the reference of the office it means: empty for a new one without."""
        try:
            read = read_office_row(row, plans=self._plans, check_zone=check_zone)
            return read, self._meant_by(read)
        except RowRejected as rejection:
            self.findings.reject(row.number, rejection)
            return None

    def _meant_by(self, row: OfficeRow) -> str:
        alike = self._survey.unnamed.get((row.name, row.billing_email))
        reference = row.reference
        if not reference and alike:
            if len(alike) > 1:
                raise RowRejected(Cause("reference", ProblemCode.AMBIGUOUS_OFFICE))
            reference = alike[0]
        # Where one row of a name has no reference, a second row of that name could not be told from it next time.
        if reference in self._seen or (row.name, row.billing_email) in self._seen_names:
            raise RowRejected(Cause("reference", ProblemCode.DUPLICATE_OFFICE))
        if reference:
            self._seen.add(reference)
        if alike is not None:
            self._seen_names.add((row.name, row.billing_email))
        return reference

    def _apply(self, row: OfficeRow, reference: str, office: Office | None, timelines: dict[UUID, Timeline]) -> None:
        if row.says_past_due:
            self.findings.warn(row.number, "subscription_status", ProblemCode.PAST_DUE_IS_DERIVED)
        if office is None:
            office = self._create(row, reference or new_reference())
            self.counts["offices_created"] += 1
            told = "a new office" if self._dry_run else f"{office.reference}, a new office"
        else:
            changed = self._update(office, row, timelines[office.pk])
            self.counts["offices_updated" if changed else "unchanged"] += 1
            told = office.reference
        if not row.reference:
            self.notes.append(f"row {row.number} is {told}")

    def _create(self, row: OfficeRow, reference: str) -> Office:
        """Make the office; what it starts with holds since before any record (decisions.md 12)."""
        office = Office(reference=reference, created_at=self._now, **{name: getattr(row, name) for name in _COLUMNS})
        self._writes.created.append(office)
        self._hold(office, row, _TERMS, since=BEGINNING)
        self._tell(office, "office.imported", row, {*_COLUMNS, *_TERMS}, since=BEGINNING)
        return office

    def _update(self, office: Office, row: OfficeRow, timeline: Timeline) -> bool:
        """Take over what differs; return whether anything does. Raises RowRejected for a fixed anchor."""
        columns = {name for name in _COLUMNS if getattr(office, name) != getattr(row, name)}
        if "billing_cycle_anchor_date" in columns and office.first_cycle_opened_at is not None:
            raise RowRejected(Cause("billing_cycle_anchor_date", ProblemCode.ANCHOR_FIXED))
        holding = (timeline.status_at(self._now), timeline.zone_at(self._now), timeline.plan_at(self._now))
        terms = {
            name
            for name, now, then in zip(_TERMS, holding, (row.status, row.timezone, row.plan.pk), strict=True)
            if now != then
        }
        if columns:
            for name in columns:
                setattr(office, name, getattr(row, name))
            self._writes.updated.append(office)
        since = after_activity(office.pk, self._now) if "status" in terms else self._now
        self._hold(office, row, terms, since=since)
        if columns or terms:
            self._tell(office, "office.updated", row, columns | terms, since=since)
        return bool(columns or terms)

    def _hold(self, office: Office, row: OfficeRow, terms: Collection[str], *, since: datetime) -> None:
        """Write down that these terms of the row hold for the office from `since` on."""
        if "status" in terms:
            self._writes.statuses.append(OfficeStatusChange(office=office, status=row.status, effective_at=since))
        if "timezone" in terms:
            self._writes.zones.append(OfficeZone(office=office, timezone=row.timezone, effective_at=since))
        if "plan" in terms:
            self._writes.plans.append(OfficePlan(office=office, plan=row.plan, effective_at=since))

    def _tell(self, office: Office, action: str, row: OfficeRow, changed: set[str], *, since: datetime) -> None:
        """Note the one fact of this office: names and e-mail are named as changed, never quoted (privacy.md).

        `since` is when a new status begins, perhaps an instant after now.
        """
        quoted = changed - {"name", "billing_email"}
        payload: dict[str, PayloadValue] = {name: str(getattr(row, name)) for name in quoted}
        payload |= {"changed": ",".join(sorted(changed)), "since": instant(since)}
        self._writes.facts.append(Fact(office_stream(office.reference), action, payload))
