"""Rebuild the books of many offices and say what was changed by hand; nightly, each as a discrepancy."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.models import AuditEntry, StreamHead
from billing.billed_usage import usage_differences
from billing.discrepancies import end_discrepancies, open_discrepancy
from billing.models import (
    BillingCycle,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    Invoice,
    ReconciliationPhase,
    ReconciliationRun,
    RepairKind,
)
from billing.rebuilt_books.compare import compare
from billing.rebuilt_books.findings import Finding, HandMade
from billing.rebuilt_books.from_log import Replay, replay
from billing.rebuilt_books.from_tables import stored_books
from billing.rebuilt_books.state import OfficeBooks
from offices.audit_stream import office_stream
from offices.locking import OfficeNotFound
from offices.models import Office

_AT_ONCE = 100  # offices: the entries of some years of them fit in a few megabytes
_USAGE = {
    "billable_not_charged": HandMade.LINE_MISSING,
    "charged_not_billable": HandMade.LINE_WITHOUT_PERIOD,
    "price_differs": HandMade.LINE_PRICE,
}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class OfficeFinding:
    """A finding and the office it is of."""

    office: Office
    finding: Finding


@dataclass(slots=True)
class BooksCheck:
    """What a check saw: counts by name and every finding."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[OfficeFinding] = field(default_factory=list)


def books_at(*, office_reference: str, at: datetime | None = None) -> OfficeBooks:
    """Rebuild one office's books as they were at `at` (default: now), from its audit entries alone.

    Raises OfficeNotFound.
    """
    if not Office.objects.filter(reference=office_reference).exists():
        raise OfficeNotFound("there is no office with this reference")
    entries = AuditEntry.objects.filter(stream=office_stream(office_reference)).order_by("seq")
    return replay(entries.iterator(chunk_size=2000), until=at).books


def check_books(*, office_reference: str | None = None, progress: Progress = lambda _done, _total: None) -> BooksCheck:
    """Rebuild every office, or one, compare with the tables, and return what differs; writes nothing.

    Raises OfficeNotFound.
    """
    offices = Office.objects.order_by("pk")
    if office_reference is not None:
        offices = offices.filter(reference=office_reference)
        if not offices.exists():
            raise OfficeNotFound("there is no office with this reference")
    check, total = BooksCheck(), offices.count()
    for chunk in _chunks(offices):
        with _one_snapshot():
            _check(chunk, check)
        check.counts["offices"] += len(chunk)
        progress(check.counts["offices"], total)
    check.counts["differences"] = len(check.findings)
    return check


def keep_findings(*, actor: str, now: datetime) -> int:
    """Check all books and keep each changed subject as an open discrepancy; return how many are new.

    One that is not found any more is gone. Nothing is repaired: a change by hand is evidence.
    """
    check = check_books()
    by_subject: dict[str, list[OfficeFinding]] = defaultdict(list)
    for each in check.findings:
        by_subject[_subject(each)].append(each)
    with transaction.atomic():
        # Not before: a check that was killed would leave a run that the next comparison with Stripe goes on with.
        run = ReconciliationRun.objects.create(
            actor=actor, window_from=now, window_until=now, phase=ReconciliationPhase.BOOKS, started_at=now
        )
        new = sum(_keep(subject, found, run, now) for subject, found in by_subject.items())
        standing = Discrepancy.objects.filter(kind=DiscrepancyKind.BOOKS_CHANGED_BY_HAND)
        gone = standing.exclude(subject__in=list(by_subject))
        end_discrepancies(gone, status=DiscrepancyStatus.GONE, actor=actor, now=now)
        ReconciliationRun.objects.filter(pk=run.pk).update(
            phase=ReconciliationPhase.DONE, finished_at=now, found=len(by_subject)
        )
    return new


def _chunks(offices: QuerySet[Office]) -> Iterator[list[Office]]:
    last = None
    while chunk := list((offices if last is None else offices.filter(pk__gt=last))[:_AT_ONCE]):
        yield chunk
        last = chunk[-1].pk


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """Read log and tables as of one instant: what a use case commits in between must not look changed by hand."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _check(offices: Sequence[Office], check: BooksCheck) -> None:
    # Read again inside the snapshot: the list of offices is older.
    offices = list(Office.objects.filter(pk__among=[office.pk for office in offices]).order_by("reference"))
    rebuilt, tables = _rebuilt(offices), stored_books(offices)
    usage = _usage(offices)
    for office in offices:
        log = rebuilt.get(office_stream(office.reference)) or Replay()
        found = [*log.findings, *compare(log.books, tables[office.pk]), *usage[office.reference]]
        check.findings += [OfficeFinding(office, each) for each in found]
        check.counts["cycles"] += len(log.books.cycles)
        check.counts["invoices"] += len(log.books.invoices)


def _rebuilt(offices: Sequence[Office]) -> Mapping[str, Replay]:
    streams = [office_stream(office.reference) for office in offices]
    entries = AuditEntry.objects.filter(stream__among=streams).order_by("stream", "seq").iterator(chunk_size=2000)
    replays = {stream: replay(own) for stream, own in groupby(entries, key=lambda entry: entry.stream)}
    for stream, head in StreamHead.objects.filter(stream__among=streams).values_list("stream", "seq"):
        replays.setdefault(stream, Replay()).end(head)
    return replays


def _usage(offices: Sequence[Office]) -> Mapping[str, list[Finding]]:
    """Find lines without activity, activity without a line, and other prices: counts, never who."""
    found: dict[str, list[Finding]] = defaultdict(list)
    cycles = BillingCycle.objects.filter(office__among=[office.pk for office in offices]).select_related("office")
    for each in usage_differences(list(cycles)):
        if each.code in _USAGE:
            finding = Finding(f"cycle:{each.cycle.key}", _USAGE[each.code], tables=f"{each.count}")
            found[each.cycle.office.reference].append(finding)
    return found


def _subject(found: OfficeFinding) -> str:
    """Return the subject of the row: keys of cycles repeat from office to office."""
    kind, _, name = found.finding.subject.partition(":")
    if kind == "invoice":
        return found.finding.subject
    return ":".join(filter(None, (kind, str(found.office.pk), name)))


def _keep(subject: str, found: Sequence[OfficeFinding], run: ReconciliationRun, now: datetime) -> bool:
    kind, _, name = found[0].finding.subject.partition(":")
    invoice = Invoice.objects.filter(pk=name).defer("internal_note").first() if kind == "invoice" else None
    return open_discrepancy(
        kind=DiscrepancyKind.BOOKS_CHANGED_BY_HAND,
        subject=subject,
        office=found[0].office,
        invoice=invoice,
        cycle_key=name if kind == "cycle" else "",
        amount_cents=0,
        ours={"tables": [each.finding.tables for each in found]},
        theirs={"codes": [str(each.finding.code) for each in found], "log": [each.finding.log for each in found]},
        repair=RepairKind.LOOK,
        run=run,
        now=now,
    )
