"""The books of one office as plain values, the same shape from the log and from the tables."""

from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass(slots=True)
class CycleBook:
    """A cycle with its frozen terms; cents. The last three fields are filled when it closes."""

    index: int
    start_at: datetime
    end_at: datetime
    zone: str
    status: str
    plan: int
    unit_price_cents: int
    closed_at: datetime | None = None
    patients: int | None = None
    last_period: int | None = None


@dataclass(slots=True)
class InvoiceBook:
    """An invoice. What the close freezes is empty until then; `live_lines` are those still owed."""

    invoice_type: str
    cycle: str | None
    origin: str
    status: str = "draft"
    currency: str = ""
    total_cents: int | None = None
    lines: int | None = None
    lines_total_cents: int | None = None
    live_lines: int | None = None
    closed_at: datetime | None = None
    sent_at: datetime | None = None
    paid_at: datetime | None = None
    failed_at: datetime | None = None
    canceled_at: datetime | None = None


@dataclass(slots=True)
class OfficeBooks:
    """All that is rebuilt of an office. Histories say what holds from which instant on; `periods` is a count."""

    anchor: date | None = None
    statuses: dict[datetime, str] = field(default_factory=dict)
    zones: dict[datetime, str] = field(default_factory=dict)
    plans: dict[datetime, str] = field(default_factory=dict)
    overrides: list[tuple[int, date, date]] = field(default_factory=list)
    first_cycle_opened_at: datetime | None = None
    parked_at: datetime | None = None
    has_customer: bool = False
    periods: int = 0
    cycles: dict[str, CycleBook] = field(default_factory=dict)
    invoices: dict[str, InvoiceBook] = field(default_factory=dict)
