"""One office as lists and dicts: what was recorded about it, and the cycles, invoices and lines that came of it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from tests.oracle.local_dates import first_instant, month_key, start_date

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)
LIVE = ("active", "trialing")


@dataclass
class Period:
    activated_at: datetime
    deactivated_at: datetime | None

    @property
    def end(self) -> datetime:
        return self.deactivated_at or END


@dataclass
class Invoice:
    kind: str
    cycle_key: str | None
    closed: bool = False


@dataclass
class Line:
    invoice: Invoice
    item_type: str
    patient: str | None
    cycle_key: str | None
    unit_price: int


@dataclass
class Cycle:
    """`due_from` is the first moment of the cycle at which the office was live: its start, as a rule."""

    index: int
    key: str
    start_date: date
    end_date: date
    start_at: datetime
    end_at: datetime
    zone: str
    trial: bool
    unit_price: int
    due_from: datetime
    invoice: Invoice
    closed: bool = False
    carried_over: bool = False
    backfilled: bool = False


@dataclass
class Office:
    anchor: date
    price: int
    setup_fee: int
    zones: list[tuple[datetime, str]]
    statuses: list[tuple[datetime, str]]
    versions: dict[date, int] = field(default_factory=dict)
    overrides: list[tuple[date, date, int]] = field(default_factory=list)
    patients: dict[str, list[Period]] = field(default_factory=dict)
    cycles: dict[int, Cycle] = field(default_factory=dict)
    invoices: list[Invoice] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    # What held when: dated rows, the last one recorded for an instant wins.

    def zone_at(self, instant: datetime) -> str:
        return [zone for since, zone in self.zones if since <= instant][-1]

    def status_at(self, instant: datetime) -> str:
        return [status for since, status in self.statuses if since <= instant][-1]

    def is_live_at(self, instant: datetime) -> bool:
        return self.status_at(instant) in LIVE

    def live_stretches(self) -> list[tuple[datetime, datetime]]:
        ends = [since for since, _ in self.statuses[1:]] + [END]
        return [(since, end) for (since, status), end in zip(self.statuses, ends, strict=True) if status in LIVE]

    def first_live_moment(self, start: datetime, end: datetime) -> datetime | None:
        for since, until in self.live_stretches():
            if max(since, start) < min(until, end):
                return max(since, start)
        return None

    def price_on(self, day: date) -> int:
        """The override whose dates hold the day, else the latest version in force, else the plan's first price."""
        overrides = [(start, price) for start, end, price in self.overrides if start <= day < end]
        if overrides:
            return max(overrides, key=lambda row: row[0])[1]
        effective = [since for since in self.versions if since <= day]
        return self.versions[max(effective)] if effective else self.price

    # Cycles: an endless chain; only some of its links become rows.

    def starts_at(self, index: int) -> datetime:
        """The instant at which the cycle before ends; before any change of zone that is the local midnight."""
        if index in self.cycles:
            return self.cycles[index].start_at
        first_zone = self.zones[0][1]
        midnight = first_instant(start_date(self.anchor, index), first_zone)
        first_change = self.zones[1][0] if len(self.zones) > 1 else END
        return midnight if midnight <= first_change else self.ends_at(index - 1)

    def ends_at(self, index: int) -> datetime:
        if index in self.cycles:
            return self.cycles[index].end_at
        return first_instant(start_date(self.anchor, index + 1), self.zone_at(self.starts_at(index)))

    def start_date_of(self, index: int) -> date:
        return start_date(self.anchor, index)

    def index_of_month(self, month: str) -> int:
        """The cycle that starts in the month `YYYY-MM`."""
        year, number = (int(part) for part in month.split("-"))
        return (year - self.anchor.year) * 12 + number - self.anchor.month

    def index_at(self, instant: datetime) -> int:
        """The cycle that holds the instant: walk up from one that surely lies before it."""
        index = (instant.year - self.anchor.year) * 12 + instant.month - self.anchor.month - 3
        while self.ends_at(index) <= instant:
            index += 1
        return index

    def cycles_in_order(self) -> list[Cycle]:
        return [self.cycles[index] for index in sorted(self.cycles)]

    def open_cycle_if_live(self, index: int, until: datetime) -> None:
        """Make the row of a missing cycle, unless the office was not live at any moment of it up to `until`."""
        start_at, end_at = self.starts_at(index), self.ends_at(index)
        due_from = self.first_live_moment(start_at, end_at)
        if index in self.cycles or due_from is None or due_from > until:
            return
        first_day = start_date(self.anchor, index)
        trial = self.status_at(due_from) == "trialing"
        invoice = Invoice("monthly", month_key(first_day))
        self.invoices.append(invoice)
        self.cycles[index] = Cycle(
            index=index,
            key=month_key(first_day),
            start_date=first_day,
            end_date=start_date(self.anchor, index + 1),
            start_at=start_at,
            end_at=end_at,
            zone=self.zone_at(start_at),
            trial=trial,
            unit_price=0 if trial else self.price_on(first_day),
            due_from=due_from,
            invoice=invoice,
        )

    def own_cycles(self) -> list[Cycle]:
        """The cycles that no backfill made."""
        return [cycle for cycle in self.cycles_in_order() if not cycle.backfilled]

    def open_cycles_until(self, instant: datetime) -> None:
        """Every missing cycle from the office's first up to the one that holds the instant."""
        last = self.index_at(instant)
        own = self.own_cycles()
        if not own:
            if self.is_live_at(instant) and last not in self.cycles:
                self.open_cycle_if_live(last, instant)
            return
        for index in range(own[0].index, last + 1):
            self.open_cycle_if_live(index, instant)
