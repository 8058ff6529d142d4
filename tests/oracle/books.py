"""The books as plain values, the same shape for the oracle and for the product, so that they can be compared."""

from dataclasses import dataclass
from datetime import date, datetime

OPEN_DRAFT, CLOSED, SETTLED_ZERO = "open-draft", "closed", "settled-zero"


@dataclass(frozen=True)
class BookCycle:
    """`unit_price` is what a line of the cycle costs: 0 in a trial."""

    index: int
    key: str
    start_date: date
    end_date: date
    start_at: datetime
    end_at: datetime
    zone: str
    trial: bool
    unit_price: int
    closed: bool


@dataclass(frozen=True)
class BookInvoice:
    """`kind` is monthly, setup_fee or one_off; only monthly ones have a cycle key; `total` is in cents."""

    kind: str
    cycle_key: str | None
    status: str
    total: int


@dataclass(frozen=True)
class BookLine:
    """`cycle_key` is the cycle billed for, `on_cycle` the cycle of the monthly invoice that carries the line."""

    kind: str
    on_cycle: str | None
    item_type: str
    patient: str | None
    cycle_key: str | None
    unit_price: int


@dataclass(frozen=True)
class BookPeriod:
    """One stretch of activity; touching periods may be given apart or merged, the comparison merges them."""

    patient: str
    activated_at: datetime
    deactivated_at: datetime | None


@dataclass(frozen=True)
class Books:
    """`periods` may be None when a side does not tell them; then they are not compared."""

    cycles: tuple[BookCycle, ...] = ()
    invoices: tuple[BookInvoice, ...] = ()
    lines: tuple[BookLine, ...] = ()
    periods: tuple[BookPeriod, ...] | None = None
