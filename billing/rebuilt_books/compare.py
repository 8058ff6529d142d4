"""Hold the books that the log tells against those of the tables: pure, every difference typed."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from billing.rebuilt_books.findings import Finding, HandMade
from billing.rebuilt_books.state import CycleBook, InvoiceBook, OfficeBooks

# Which field differs says what was changed.
_OFFICE = {
    "anchor": HandMade.ANCHOR,
    "statuses": HandMade.STATUS_HISTORY,
    "zones": HandMade.ZONE_HISTORY,
    "plans": HandMade.PLAN_HISTORY,
    "overrides": HandMade.PRICE_OVERRIDES,
    "first_cycle_opened_at": HandMade.FIRST_CYCLE,
    "parked_at": HandMade.PARKING,
    "has_customer": HandMade.CUSTOMER,
    "periods": HandMade.PERIODS,
}
_TERMS = ("index", "start_at", "end_at", "zone", "status", "plan", "unit_price_cents")
_CYCLE = dict.fromkeys(_TERMS, HandMade.CYCLE_TERMS) | dict.fromkeys(
    ("closed_at", "patients", "last_period"), HandMade.CYCLE_CLOSE
)
_INVOICE = {
    **dict.fromkeys(("invoice_type", "cycle", "origin", "currency"), HandMade.INVOICE_KIND),
    "status": HandMade.INVOICE_STATUS,
    "total_cents": HandMade.INVOICE_TOTAL,
    **dict.fromkeys(("closed_at", "sent_at", "paid_at", "failed_at", "canceled_at"), HandMade.INVOICE_MOMENTS),
    "lines": HandMade.LINE_COUNT,
    "lines_total_cents": HandMade.LINE_SUM,
    "live_lines": HandMade.LINE_LIVE,
}


class _Book(Protocol):
    """Any of the three shapes of `state.py`."""


def compare(log: OfficeBooks, tables: OfficeBooks) -> list[Finding]:
    """Return every difference; one finding for each subject and code."""
    found = [
        *_fields("office", log, tables, _OFFICE),
        *_rows("cycle", log.cycles, tables.cycles, _CYCLE, HandMade.CYCLE_GONE, HandMade.CYCLE_NOT_IN_LOG),
        *_rows("invoice", log.invoices, tables.invoices, _INVOICE, HandMade.INVOICE_GONE, HandMade.INVOICE_NOT_IN_LOG),
    ]
    first: dict[tuple[str, HandMade], Finding] = {}
    for each in found:
        first.setdefault((each.subject, each.code), each)
    return list(first.values())


def _rows(
    kind: str,
    log: Mapping[str, CycleBook] | Mapping[str, InvoiceBook],
    tables: Mapping[str, CycleBook] | Mapping[str, InvoiceBook],
    fields: Mapping[str, HandMade],
    gone: HandMade,
    not_in_log: HandMade,
) -> Iterator[Finding]:
    for name in sorted(log.keys() | tables.keys()):
        subject = f"{kind}:{name}"
        if name not in tables:
            yield Finding(subject, gone)
        elif name not in log:
            yield Finding(subject, not_in_log)
        else:
            yield from _fields(subject, log[name], tables[name], fields)


def _fields(subject: str, log: _Book, tables: _Book, codes: Mapping[str, HandMade]) -> Iterator[Finding]:
    for name, code in codes.items():
        told, held = getattr(log, name), getattr(tables, name)
        if told != held:
            yield Finding(subject, code, log=f"{name} {_text(told)}", tables=f"{name} {_text(held)}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key:%Y-%m-%dT%H:%M:%S.%fZ} {held}" for key, held in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(" ".join(map(str, row)) for row in value)
    return str(value)
