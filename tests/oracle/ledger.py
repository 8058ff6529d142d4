"""Replay a history one command at a time and show the books that the rules demand after any of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.oracle import activity, terms
from tests.oracle import commands as c
from tests.oracle.backfill import backfill
from tests.oracle.billing import Readings, add_missing_lines, merged
from tests.oracle.books import CLOSED, OPEN_DRAFT, SETTLED_ZERO, BookCycle, BookInvoice, BookLine, BookPeriod, Books
from tests.oracle.office import BEGINNING, Cycle, Invoice, Office


@dataclass(frozen=True)
class Step:
    command: c.Command
    outcome: str
    books: Books


class Ledger:
    """The books of one office; `apply` returns changed, unchanged or refused:<code>."""

    def __init__(self, readings: Readings | None = None) -> None:
        self.readings = readings or Readings()
        self.office: Office | None = None

    def apply(self, command: c.Command) -> str:
        if isinstance(command, c.CreateOffice):
            self.office = new_office(command)
            return "changed"
        if self.office is None:
            raise ValueError("A history begins with CreateOffice")
        if isinstance(command, c.Run):
            return run(self.office, command, self.readings)
        if isinstance(command, c.Backfill):
            return backfill(self.office, command, self.readings)
        if isinstance(command, c.Activate):
            return activity.activate(self.office, command, self.readings)
        return WITHOUT_BILLING[type(command)](self.office, command)

    def books(self) -> Books:
        if self.office is None:
            return Books(periods=())
        return write_books(self.office)


WITHOUT_BILLING: dict[type[c.Command], Callable[..., str]] = {
    c.RegisterPatient: activity.register,
    c.ImportPeriods: activity.import_periods,
    c.Deactivate: activity.deactivate,
    c.ChangeStatus: terms.change_status,
    c.ChangeZone: terms.change_zone,
    c.ChangeAnchor: terms.change_anchor,
    c.SetPrice: terms.set_price,
    c.SetOverride: terms.set_override,
    c.SetupFee: terms.charge_setup_fee,
    c.OneOff: terms.charge_one_off,
}


def replay(history: Iterable[c.Command], readings: Readings | None = None) -> list[Step]:
    """One step for each command: what it answered and the books after it."""
    ledger = Ledger(readings)
    return [Step(command, ledger.apply(command), ledger.books()) for command in history]


def new_office(command: c.CreateOffice) -> Office:
    return Office(
        anchor=command.anchor,
        price=command.price,
        setup_fee=command.setup_fee,
        zones=[(BEGINNING, command.zone)],
        statuses=[(BEGINNING, command.status)],
    )


def run(office: Office, command: c.Run, readings: Readings) -> str:
    """Open what is due, close what has ended, carry over what is open: cycle by cycle, oldest first."""
    as_of = command.as_of or command.at
    before = size(office)
    office.open_cycles_until(as_of)
    for cycle in office.own_cycles():
        if not cycle.closed and cycle.end_at <= as_of:
            close(office, cycle, readings)
        elif not cycle.closed and not cycle.carried_over and cycle.due_from <= as_of:
            cycle.carried_over = True
            add_missing_lines(office, cycle, on=cycle, readings=readings)
    return "unchanged" if size(office) == before else "changed"


def close(office: Office, cycle: Cycle, readings: Readings) -> None:
    """The cycle's own missing lines, then adjustments for the cycles closed before it, then no line more."""
    add_missing_lines(office, cycle, on=cycle, readings=readings)
    for earlier in office.cycles_in_order():
        if earlier.closed:
            add_missing_lines(office, earlier, on=cycle, readings=readings)
    cycle.closed = True
    cycle.invoice.closed = True


def size(office: Office) -> tuple[int, int, int]:
    return len(office.cycles), sum(cycle.closed for cycle in office.cycles.values()), len(office.lines)


def total(office: Office, invoice: Invoice) -> int:
    return sum(line.unit_price for line in office.lines if line.invoice is invoice)


def invoice_status(office: Office, invoice: Invoice) -> str:
    if not invoice.closed:
        return OPEN_DRAFT
    return CLOSED if total(office, invoice) else SETTLED_ZERO


def cycle_row(cycle: Cycle) -> BookCycle:
    return BookCycle(
        index=cycle.index,
        key=cycle.key,
        start_date=cycle.start_date,
        end_date=cycle.end_date,
        start_at=cycle.start_at,
        end_at=cycle.end_at,
        zone=cycle.zone,
        trial=cycle.trial,
        unit_price=cycle.unit_price,
        closed=cycle.closed,
    )


def write_books(office: Office) -> Books:
    return Books(
        cycles=tuple(cycle_row(cycle) for cycle in office.cycles_in_order()),
        invoices=tuple(
            BookInvoice(each.kind, each.cycle_key, invoice_status(office, each), total(office, each))
            for each in office.invoices
        ),
        lines=tuple(
            BookLine(
                each.invoice.kind, each.invoice.cycle_key, each.item_type, each.patient, each.cycle_key, each.unit_price
            )
            for each in office.lines
        ),
        periods=tuple(
            BookPeriod(patient, period.activated_at, period.deactivated_at)
            for patient, periods in sorted(office.patients.items())
            for period in merged(periods)
        ),
    )


def last_books(history: Iterable[c.Command], readings: Readings | None = None) -> Books:
    """The books after the whole history."""
    return replay(history, readings)[-1].books
