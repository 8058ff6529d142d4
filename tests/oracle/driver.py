"""The other side: what a product must offer to be led through a history, and where its books differ."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Protocol, TypeVar

from tests.oracle import commands as c
from tests.oracle.billing import Readings, merged
from tests.oracle.books import BookCycle, BookInvoice, BookLine, BookPeriod, Books
from tests.oracle.ledger import Ledger
from tests.oracle.office import Period

Row = TypeVar("Row")


class Driver(Protocol):
    """One product office. Every method answers changed, unchanged or refused:<code> (the oracle's codes)."""

    def create_office(self, command: c.CreateOffice) -> str: ...
    def register_patient(self, command: c.RegisterPatient) -> str: ...
    def import_periods(self, command: c.ImportPeriods) -> str: ...
    def activate(self, command: c.Activate) -> str: ...
    def deactivate(self, command: c.Deactivate) -> str: ...
    def change_status(self, command: c.ChangeStatus) -> str: ...
    def set_price(self, command: c.SetPrice) -> str: ...
    def set_override(self, command: c.SetOverride) -> str: ...
    def change_zone(self, command: c.ChangeZone) -> str: ...
    def change_anchor(self, command: c.ChangeAnchor) -> str: ...
    def run(self, command: c.Run) -> str: ...
    def backfill(self, command: c.Backfill) -> str: ...
    def setup_fee(self, command: c.SetupFee) -> str: ...
    def one_off(self, command: c.OneOff) -> str: ...
    def books(self) -> Books: ...


METHODS: dict[type[c.Command], str] = {
    c.CreateOffice: "create_office",
    c.RegisterPatient: "register_patient",
    c.ImportPeriods: "import_periods",
    c.Activate: "activate",
    c.Deactivate: "deactivate",
    c.ChangeStatus: "change_status",
    c.SetPrice: "set_price",
    c.SetOverride: "set_override",
    c.ChangeZone: "change_zone",
    c.ChangeAnchor: "change_anchor",
    c.Run: "run",
    c.Backfill: "backfill",
    c.SetupFee: "setup_fee",
    c.OneOff: "one_off",
}


def drive(driver: Driver, command: c.Command) -> str:
    """Hand the command to the driver's method for it."""
    method: Callable[[c.Command], str] = getattr(driver, METHODS[type(command)])
    return method(command)


def same_code(expected: str, got: str) -> bool:
    return expected == got


def same_verdict(expected: str, got: str) -> bool:
    """Refused is refused: for commands with two faults at once, where no rule says which is named."""
    return expected.partition(":")[0] == got.partition(":")[0]


def first_difference(
    history: Iterable[c.Command],
    driver: Driver,
    readings: Readings | None = None,
    agree: Callable[[str, str], bool] = same_code,
) -> str:
    """Lead oracle and product through the history; a readable report of the first step that differs, or nothing."""
    ledger = Ledger(readings)
    done: list[c.Command] = []
    outcomes: list[str] = []
    for command in history:
        expected, got = ledger.apply(command), drive(driver, command)
        done.append(command)
        outcomes.append(got if got == expected else f"{got} (expected {expected})")
        differences = [] if agree(expected, got) else [f"outcome: expected {expected}, product says {got}"]
        differences += compare(ledger.books(), driver.books())
        if differences:
            return "\n".join(["after:", c.describe(done, outcomes), "differs:", *differences])
    return ""


def compare(oracle: Books, product: Books) -> list[str]:
    """Every difference as a sentence; nothing when the books say the same."""
    differences = list(compare_cycles(oracle.cycles, product.cycles))
    differences += compare_invoices(oracle.invoices, product.invoices)
    differences += compare_lines(oracle.lines, product.lines)
    if oracle.periods is not None and product.periods is not None:
        differences += compare_counts("period", merge_rows(oracle.periods), merge_rows(product.periods), show_period)
    return differences


def compare_cycles(oracle: Iterable[BookCycle], product: Iterable[BookCycle]) -> Iterator[str]:
    product = list(product)
    for key, count in Counter(cycle.key for cycle in product).items():
        if count > 1:
            yield f"cycle {key}: the product has {count} of it"
    expected, found = {cycle.key: cycle for cycle in oracle}, {cycle.key: cycle for cycle in product}
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            yield f"cycle {key}: missing in the product"
        elif key not in expected:
            yield f"cycle {key}: only in the product"
        else:
            yield from compare_fields(expected[key], found[key])


def compare_fields(expected: BookCycle, found: BookCycle) -> Iterator[str]:
    for field in fields(BookCycle):
        want, have = getattr(expected, field.name), getattr(found, field.name)
        if want != have:
            yield f"cycle {expected.key}: {field.name} should be {c.show(want)}, the product has {c.show(have)}"


def compare_invoices(oracle: Iterable[BookInvoice], product: Iterable[BookInvoice]) -> Iterator[str]:
    return compare_counts("invoice", oracle, product, show_invoice)


def compare_lines(oracle: Iterable[BookLine], product: Iterable[BookLine]) -> Iterator[str]:
    return compare_counts("line", oracle, product, show_line)


def compare_counts(
    what: str, oracle: Iterable[Row], product: Iterable[Row], show: Callable[[Row], str]
) -> Iterator[str]:
    """As bags: order means nothing, number does."""
    expected, found = Counter(oracle), Counter(product)
    for row, count in sorted((expected - found).items(), key=lambda item: show(item[0])):
        yield f"{what} missing in the product ({count}x): {show(row)}"
    for row, count in sorted((found - expected).items(), key=lambda item: show(item[0])):
        yield f"{what} only in the product ({count}x): {show(row)}"


def show_invoice(invoice: BookInvoice) -> str:
    return f"{invoice.kind} {invoice.cycle_key or ''} {invoice.status} total={invoice.total}"


def show_line(line: BookLine) -> str:
    where = f"{line.kind} {line.on_cycle or ''}".strip()
    return f"{line.item_type} {line.patient or ''} for {line.cycle_key or '-'} at {line.unit_price} on [{where}]"


def show_period(period: BookPeriod) -> str:
    return f"{period.patient} [{c.show(period.activated_at)}, {c.show(period.deactivated_at)})"


def merge_rows(rows: Iterable[BookPeriod]) -> list[BookPeriod]:
    """Touching periods of a patient as one, so that both sides may store them as they like."""
    by_patient: dict[str, list[Period]] = {}
    for row in rows:
        by_patient.setdefault(row.patient, []).append(Period(row.activated_at, row.deactivated_at))
    return [
        BookPeriod(patient, period.activated_at, period.deactivated_at)
        for patient, periods in by_patient.items()
        for period in merged(periods)
    ]
