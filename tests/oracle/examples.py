"""Short words to write a history by hand, and to say what its books hold."""

from datetime import UTC, date, datetime

from tests.oracle import commands as c
from tests.oracle.books import BookLine, Books
from tests.oracle.ledger import replay


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def office(at: str = "2025-01-01 06:00", **changes: object) -> c.CreateOffice:
    """An office in a zone without daylight saving (UTC+5:30): local midnight is 18:30 UTC of the day before."""
    return c.CreateOffice(utc(at), **({"zone": "Asia/Kolkata", "anchor": date(2025, 1, 1)} | changes))


def registered(*patients: str) -> list[c.Command]:
    return [c.RegisterPatient(utc("2025-01-01 06:01"), patient) for patient in patients]


def run(at: str, as_of: str | None = None) -> c.Run:
    return c.Run(utc(at), utc(as_of) if as_of else None)


def activate(patient: str, at: str, since: str | None = None) -> c.Activate:
    return c.Activate(utc(at), patient, utc(since) if since else None)


def deactivate(patient: str, at: str, since: str | None = None) -> c.Deactivate:
    return c.Deactivate(utc(at), patient, utc(since) if since else None)


def imported(patient: str, at: str, start: str, end: str | None = None) -> c.ImportPeriods:
    return c.ImportPeriods(utc(at), patient, ((utc(start), utc(end) if end else None),))


def status(at: str, to: str) -> c.ChangeStatus:
    return c.ChangeStatus(utc(at), to)


def after(*history: c.Command) -> Books:
    return replay(history)[-1].books


def outcomes(*history: c.Command) -> list[str]:
    return [step.outcome for step in replay(history)]


def said(books: Books) -> list[tuple[str | None, str, str | None, str | None, int]]:
    """The lines as (on the invoice of, type, patient, for the cycle, cents)."""
    return [said_line(line) for line in books.lines]


def said_line(line: BookLine) -> tuple[str | None, str, str | None, str | None, int]:
    return line.on_cycle, line.item_type, line.patient, line.cycle_key, line.unit_price


def keys(books: Books) -> list[str]:
    return [cycle.key for cycle in books.cycles]


def invoices(books: Books) -> list[tuple[str | None, str, int]]:
    return [(each.cycle_key or each.kind, each.status, each.total) for each in books.invoices]
