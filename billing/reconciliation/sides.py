"""One invoice as each side has it, in plain values: what `compare.py` decides on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

# By the id that Stripe gave: its status and its cents.
Moves = Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Line:
    """Units of one type at one price; a type or number is None where Stripe's is none of ours or not whole."""

    item_type: str | None
    unit_price_cents: int | None
    quantity: int | None
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Money:
    """What moved for an invoice: payments that were paid, refunds, disputes and credit notes."""

    payments: Mapping[str, int] = field(default_factory=dict)
    refunds: Moves = field(default_factory=dict)
    disputes: Moves = field(default_factory=dict)
    credit_notes: Moves = field(default_factory=dict)

    @property
    def paid(self) -> int:
        """What came through Stripe."""
        return sum(self.payments.values())


@dataclass(frozen=True, slots=True)
class Ours:
    """A closed invoice as our books have it.

    `lines` are those of the frozen document, None where there is none. `is_delivered`: the outbox is done with it, or
    gave up; `is_waiting`: it is still at it. `is_late`: news of it waits longer than it should.
    """

    id: UUID
    office_id: UUID
    month: str
    cycle_key: str
    kind: str
    status: str
    total_cents: int
    currency: str
    stripe_id: str | None
    customer_index: str
    lines: tuple[Line, ...] | None
    is_waiting: bool = False
    is_written_off: bool = False
    overpaid_cents: int = 0
    out_of_band_cents: int = 0
    money: Money = field(default_factory=Money)
    is_deleted_there: bool = False
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Theirs:
    """The same invoice as Stripe showed it. `is_old`: it was made longer ago than a delivery takes."""

    id: str
    own_invoice_id: UUID | None
    own_cycle_key: str
    own_kind: str
    customer_index: str
    status: str
    currency: str
    total_cents: int
    paid_cents: int
    overpaid_cents: int
    attempt_count: int
    lines: tuple[Line, ...]
    is_old: bool = True
    finalization_failed: bool = False
    unreadable_field: str = ""
    foreign_fields: tuple[str, ...] = ()
    foreign_codes: tuple[str, ...] = ()
    money: Money = field(default_factory=Money)

    @property
    def out_of_band_cents(self) -> int:
        """What counts as paid there and no payment there explains: it came by check or wire."""
        return max(self.paid_cents - self.money.paid, 0) if self.status == "paid" else 0
