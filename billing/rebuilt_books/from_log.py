"""Replay the audit entries of an office into its books, up to any instant."""

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

from audit.models import AuditEntry
from billing.models import ALLOWED_MOVES, InvoiceOrigin, InvoiceStatus, InvoiceType
from billing.rebuilt_books.findings import Finding, HandMade
from billing.rebuilt_books.state import CycleBook, InvoiceBook, OfficeBooks
from offices.models import BEGINNING

Payload = dict[str, Any]


class Replay:
    """The books as the entries tell them, and what is wrong with the entries themselves."""

    def __init__(self) -> None:
        self.books = OfficeBooks()
        self.findings: list[Finding] = []
        self._seq = 0

    def take(self, entry: AuditEntry) -> None:
        """Apply the next entry of the stream."""
        if entry.seq != self._seq + 1:
            self.findings.append(Finding("office", HandMade.ENTRY_MISSING, log=f"position {self._seq + 1}"))
        self._seq = entry.seq
        apply = _ACTIONS.get(entry.action)
        if apply is None:
            return  # tells of something that is not part of these books
        try:
            apply(self, json.loads(entry.payload), entry.at)
        except (KeyError, ValueError, TypeError):
            self.findings.append(Finding("office", HandMade.ENTRY_UNREADABLE, log=f"position {entry.seq}"))

    def end(self, head: int) -> None:
        """Compare the number of entries with the stream's head."""
        if head != self._seq:
            self.findings.append(Finding("office", HandMade.ENTRY_MISSING, log=f"position {head}"))

    def imported(self, told: Payload, _at: datetime) -> None:
        """An office came in: what it starts with holds since before any record."""
        self._hold(told, BEGINNING)

    def updated(self, told: Payload, at: datetime) -> None:
        """A later import changed some of it from then on."""
        self._hold(told, at)

    def _hold(self, told: Payload, at: datetime) -> None:
        if "status" in told:
            self.books.statuses[_instant(told["since"])] = told["status"]
        if "timezone" in told:
            self.books.zones[at] = told["timezone"]
        if "plan" in told:
            self.books.plans[at] = told["plan"]
        if "billing_cycle_anchor_date" in told:
            self.books.anchor = date.fromisoformat(told["billing_cycle_anchor_date"])

    def status_changed(self, told: Payload, _at: datetime) -> None:
        """The office's status from an instant on."""
        self.books.statuses[_instant(told["since"])] = told["to"]

    def zone_changed(self, told: Payload, at: datetime) -> None:
        """The office's zone."""
        self.books.zones[at] = told["to"]

    def plan_changed(self, told: Payload, at: datetime) -> None:
        """The office's plan."""
        self.books.plans[at] = told["to"]

    def anchor_changed(self, told: Payload, _at: datetime) -> None:
        """The office's anchor."""
        self.books.anchor = date.fromisoformat(told["to"])

    def price_overridden(self, told: Payload, _at: datetime) -> None:
        """A price of its own."""
        days = date.fromisoformat(told["starts_on"]), date.fromisoformat(told["ends_on"])
        self.books.overrides.append((told["unit_price_cents"], *days))

    def parked(self, _told: Payload, at: datetime) -> None:
        """The office stopped."""
        self.books.parked_at = at

    def unparked(self, _told: Payload, _at: datetime) -> None:
        """The office goes on."""
        self.books.parked_at = None

    def customer_known(self, _told: Payload, _at: datetime) -> None:
        """The office has its customer at Stripe, made or adopted."""
        self.books.has_customer = True

    def activated(self, _told: Payload, _at: datetime) -> None:
        """One activity period more."""
        self.books.periods += 1

    def patients_imported(self, told: Payload, _at: datetime) -> None:
        """As many periods as the import counted."""
        self.books.periods += told.get("periods_created", 0)

    def cycle_opened(self, told: Payload, at: datetime) -> None:
        """A cycle with its terms, and its draft."""
        self.books.cycles[told["cycle"]] = CycleBook(
            index=told["index"],
            start_at=_instant(told["start_at"]),
            end_at=_instant(told["end_at"]),
            zone=told["zone"],
            status=told["status"],
            plan=told["plan"],
            unit_price_cents=told["unit_price_cents"],
        )
        self.books.invoices[told["invoice"]] = InvoiceBook(InvoiceType.MONTHLY, told["cycle"], told["origin"])
        self.books.first_cycle_opened_at = self.books.first_cycle_opened_at or at

    def cycle_closed(self, told: Payload, at: datetime) -> None:
        """Nothing more is charged in the cycle itself."""
        cycle = self.books.cycles[told["cycle"]]
        cycle.closed_at, cycle.patients, cycle.last_period = at, told["patients"], told["last_period"]

    def charged(self, told: Payload, _at: datetime) -> None:
        """An invoice beside the monthly ones."""
        self.books.invoices[told["invoice"]] = InvoiceBook(told["type"], None, InvoiceOrigin.LIVE)

    def replaced(self, told: Payload, _at: datetime) -> None:
        """An invoice that stands in for a canceled one."""
        first = self.books.invoices[told["invoice"]]
        self.books.invoices[told["replacement"]] = InvoiceBook(first.invoice_type, first.cycle, InvoiceOrigin.LIVE)

    def invoice_closed(self, told: Payload, at: datetime) -> None:
        """Lines and total are frozen."""
        invoice = self.books.invoices[told["invoice"]]
        invoice.closed_at, invoice.currency = at, told["currency"]
        invoice.total_cents = invoice.lines_total_cents = told["total_cents"]
        invoice.lines = invoice.live_lines = told["lines"]

    def invoice_moved(self, told: Payload, at: datetime) -> None:
        """A status follows another; a move that is not allowed is told and taken all the same."""
        invoice = self.books.invoices[told["invoice"]]
        allowed = invoice.status == told["from"] and told["to"] in ALLOWED_MOVES[InvoiceStatus(told["from"])]
        if not allowed:
            move = f"{invoice.status}: {told['from']} to {told['to']}"
            self.findings.append(Finding(f"invoice:{told['invoice']}", HandMade.MOVE_NOT_ALLOWED, log=move))
        invoice.status = told["to"]
        setattr(invoice, f"{InvoiceStatus(told['to'])}_at", _instant(told["since"]) if "since" in told else at)
        if invoice.status == InvoiceStatus.CANCELED and invoice.lines is not None:
            invoice.live_lines = 0


_ACTIONS: dict[str, Callable[[Replay, Payload, datetime], None]] = {
    "office.imported": Replay.imported,
    "office.updated": Replay.updated,
    "office.status_changed": Replay.status_changed,
    "office.zone_changed": Replay.zone_changed,
    "office.plan_changed": Replay.plan_changed,
    "office.anchor_changed": Replay.anchor_changed,
    "office.price_overridden": Replay.price_overridden,
    "office.parked": Replay.parked,
    "office.unparked": Replay.unparked,
    "office.customer_created": Replay.customer_known,
    "office.customer_adopted": Replay.customer_known,
    "patient.activated": Replay.activated,
    "patients.imported": Replay.patients_imported,
    "cycle.opened": Replay.cycle_opened,
    "cycle.closed": Replay.cycle_closed,
    "charge.created": Replay.charged,
    "invoice.replaced": Replay.replaced,
    "invoice.closed": Replay.invoice_closed,
    "invoice.status_changed": Replay.invoice_moved,
}


def replay(entries: Iterable[AuditEntry], *, until: datetime | None = None) -> Replay:
    """Replay entries in the order of their positions, those after `until` left out."""
    result = Replay()
    for entry in entries:
        if until is None or entry.at <= until:
            result.take(entry)
    return result


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
