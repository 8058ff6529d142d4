"""What can differ between the log and the tables: each difference has a code, and says what both sides hold."""

from dataclasses import dataclass
from enum import StrEnum


class HandMade(StrEnum):
    """What somebody changed past the use cases; `docs/operators.md` says what each means."""

    ENTRY_MISSING = "entry_missing"
    ENTRY_UNREADABLE = "entry_unreadable"
    MOVE_NOT_ALLOWED = "move_not_allowed"
    ANCHOR = "anchor"
    STATUS_HISTORY = "status_history"
    ZONE_HISTORY = "zone_history"
    PLAN_HISTORY = "plan_history"
    PRICE_OVERRIDES = "price_overrides"
    FIRST_CYCLE = "first_cycle"
    PARKING = "parking"
    CUSTOMER = "customer"
    PERIODS = "periods"
    CYCLE_NOT_IN_LOG = "cycle_not_in_log"
    CYCLE_GONE = "cycle_gone"
    CYCLE_TERMS = "cycle_terms"
    CYCLE_CLOSE = "cycle_close"
    INVOICE_NOT_IN_LOG = "invoice_not_in_log"
    INVOICE_GONE = "invoice_gone"
    INVOICE_KIND = "invoice_kind"
    INVOICE_STATUS = "invoice_status"
    INVOICE_TOTAL = "invoice_total"
    INVOICE_MOMENTS = "invoice_moments"
    LINE_COUNT = "line_count"
    LINE_SUM = "line_sum"
    LINE_LIVE = "line_live"
    LINE_MISSING = "line_missing"
    LINE_WITHOUT_PERIOD = "line_without_period"
    LINE_PRICE = "line_price"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `subject` is `office`, `cycle:<key>` or `invoice:<id>`; both sides as text, no patient in it."""

    subject: str
    code: HandMade
    log: str = ""
    tables: str = ""
