"""A backfill: past cycles before the office's own first one, as drafts that nobody touches until they are closed."""

from tests.oracle.billing import Readings, add_missing_lines
from tests.oracle.commands import Backfill
from tests.oracle.local_dates import month_key
from tests.oracle.office import Cycle, Office


def backfill(office: Office, command: Backfill, readings: Readings) -> str:
    """Open what is missing and has ended, charge it, close it if asked; the oldest cycle first."""
    before = state(office)
    own = office.own_cycles()
    for index in months_between(office, command.first, command.last):
        is_past = office.ends_at(index) <= command.at and (not own or index < own[0].index)
        if index not in office.cycles and is_past:
            office.open_cycle_if_live(index, command.at)
            if index in office.cycles:
                office.cycles[index].backfilled = True
    for cycle in drafts_between(office, command):
        add_missing_lines(office, cycle, on=cycle, readings=readings)
        if command.close:
            cycle.closed = cycle.invoice.closed = True
    return "unchanged" if state(office) == before else "changed"


def months_between(office: Office, first: str, last: str) -> list[int]:
    """The indices whose cycles start in these months: exactly one starts in each."""
    around = range(office.index_of_month(first), office.index_of_month(last) + 1)
    assert all(first <= month_key(office.start_date_of(index)) <= last for index in around)
    return list(around)


def drafts_between(office: Office, command: Backfill) -> list[Cycle]:
    return [
        cycle
        for cycle in office.cycles_in_order()
        if cycle.backfilled and not cycle.closed and command.first <= cycle.key <= command.last
    ]


def state(office: Office) -> tuple[int, int, int]:
    return len(office.cycles), sum(cycle.closed for cycle in office.cycles.values()), len(office.lines)
