"""What must hold when things break (I1 to I12): one checker for every fault test.

Reads the tables and decides in plain Python, so that it shares no query and no rule with the product it judges. I4, I5
and I9 need the stand-in, I12 is searched in what it received too. I6 and I7 are read from what a close and a move leave
behind: the frozen total, the frozen document, the audit trail.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import chain
from audit.models import AuditEntry
from billing.documents import digest
from billing.models import (
    BillingCycle,
    Correction,
    CreditNote,
    DroppedLine,
    EventStatus,
    Invoice,
    LineItem,
    MessageKind,
    MessageStatus,
    OutboundRequest,
    OutboxMessage,
    StripeEvent,
)
from offices.models import OfficeStatusChange
from patients.models import ActivityPeriod, Patient
from sandbox.stripe_standin import StripeStandIn

# product.md, "Invoice life", written down a second time: a checker that reads the product's own table proves nothing.
MOVES = {
    "draft": {"sent", "paid", "canceled"},
    "sent": {"paid", "failed", "canceled"},
    "failed": {"sent", "paid", "canceled"},
    "paid": set(),
    "canceled": set(),
}


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, and where."""

    invariant: str
    subject: str
    what: str


def assert_invariants(stripe: StripeStandIn | None = None) -> None:
    """Fail with every violation there is."""
    found = violations(stripe)
    assert not found, "\n".join(f"{each.invariant} {each.subject}: {each.what}" for each in found)


def violations(stripe: StripeStandIn | None = None) -> list[Violation]:
    """Return every violation of I1 to I3, I6 to I8, I10 to I12; with the stand-in I4, I5 and I9 too."""
    books = _Books()
    found = [
        *_charges(books),
        *_totals(books),
        *_moves(books),
        *_outbox(books),
        *_replacements(books),
        *_corrections(),
        *_chain(),
        *_cycles(books),
        *_stored_identities(books),
    ]
    if stripe is not None:
        found += [*_stripe_invoices(books, stripe), *_sent_identities(books, stripe)]
    return found


class _Books:
    """The tables, read once."""

    def __init__(self) -> None:
        self.invoices = list(Invoice.objects.select_related("cycle", "office").defer("internal_note"))
        self.lines: Mapping[Any, list[LineItem]] = defaultdict(list)
        for line in LineItem.objects.all():
            self.lines[line.invoice_id].append(line)
        self.cycles = list(BillingCycle.objects.select_related("office").order_by("office", "start_at"))
        self.periods: Mapping[Any, list[ActivityPeriod]] = defaultdict(list)
        for period in ActivityPeriod.objects.all():
            self.periods[period.office_id].append(period)
        self.messages: Mapping[Any, list[OutboxMessage]] = defaultdict(list)
        for message in OutboxMessage.objects.filter(kind=MessageKind.INVOICE):
            self.messages[message.invoice_id].append(message)
        # Charged in error, as two people decided: a replacement leaves them out.
        done = DroppedLine.objects.filter(correction__status="done").select_related("line_item")
        self.dropped = {(each.line_item.patient_reference, each.line_item.cycle_key) for each in done}
        self.patients = [str(pk) for pk in Patient.objects.values_list("pk", flat=True)]


def _charges(books: _Books) -> Iterator[Violation]:
    live = [line for lines in books.lines.values() for line in lines if line.live and line.patient_reference]
    charged = Counter((line.patient_reference, line.cycle_key) for line in live)
    for (patient, key), count in charged.items():
        if count > 1:
            yield Violation("I1", f"{patient} {key}", f"{count} live charges")
    waived = {
        cycle.pk
        for cycle in books.cycles
        if all(each.status == "canceled" for each in books.invoices if each.cycle_id == cycle.pk)
    }
    for cycle in books.cycles:
        if cycle.closed_at is None or cycle.pk in waived:
            continue
        for period in books.periods[cycle.office_id]:
            known_at_close = period.pk <= (cycle.last_period_id or 0)
            let_off = (period.patient_id, cycle.key) in books.dropped
            if (
                known_at_close
                and _active_in(period, cycle)
                and not charged[period.patient_id, cycle.key]
                and not let_off
            ):
                yield Violation("I2", f"{period.patient_id} {cycle.key}", "billable, not charged")


def _active_in(period: ActivityPeriod, cycle: BillingCycle) -> bool:
    ends_later = period.deactivated_at is None or period.deactivated_at > cycle.start_at
    return period.activated_at < cycle.end_at and ends_later


def _totals(books: _Books) -> Iterator[Violation]:
    for invoice in books.invoices:
        if invoice.closed_at is None:
            continue
        lines = books.lines[invoice.pk]
        total = sum(line.quantity * line.unit_price_cents for line in lines)
        if total != invoice.total_cents:
            yield Violation("I3", str(invoice.pk), f"total {invoice.total_cents}, lines {total}")
        if any(line.created_at > invoice.closed_at for line in lines):
            yield Violation("I6", str(invoice.pk), "a line came after the close")
        for message in books.messages[invoice.pk]:
            yield from _frozen_document(invoice, lines, message)


def _frozen_document(invoice: Invoice, lines: list[LineItem], message: OutboxMessage) -> Iterator[Violation]:
    if digest(message.payload) != message.payload_digest:
        yield Violation("I6", str(invoice.pk), "the frozen document was changed")
    told: Counter[tuple[str, int]] = Counter()
    for item in json.loads(message.payload)["items"]:
        told[item["item_type"], item["unit_price_cents"]] += item["quantity"]
    held: Counter[tuple[str, int]] = Counter()
    for line in lines:
        held[line.item_type, line.unit_price_cents] += line.quantity if line.unit_price_cents else 0
    if +told != +held:
        yield Violation("I6", str(invoice.pk), f"the document says {dict(told)}, the lines {dict(held)}")


def _moves(books: _Books) -> Iterator[Violation]:
    walked: dict[str, list[tuple[str, str]]] = defaultdict(list)
    closed: Counter[str] = Counter()
    for entry in AuditEntry.objects.order_by("stream", "seq"):
        payload = json.loads(entry.payload)
        if entry.action == "invoice.status_changed":
            walked[payload["invoice"]].append((payload["from"], payload["to"]))
        closed[payload.get("invoice")] += entry.action == "invoice.closed"
    for invoice in books.invoices:
        yield from _walk(invoice, walked[str(invoice.pk)])
        if closed[str(invoice.pk)] != (invoice.closed_at is not None):
            yield Violation("I7", str(invoice.pk), f"{closed[str(invoice.pk)]} entries of its close")


def _walk(invoice: Invoice, moves: list[tuple[str, str]]) -> Iterator[Violation]:
    status = "draft"
    for before, after in moves:
        if before != status or after not in MOVES[before]:
            yield Violation("I7", str(invoice.pk), f"barred move in {moves}")
        status = after
    if status != invoice.status:
        yield Violation("I7", str(invoice.pk), f"is {invoice.status}, its trail says {status}")
    if moves[:1] == [("draft", "paid")] and invoice.total_cents:
        yield Violation("I7", str(invoice.pk), "paid without being sent")


def _outbox(books: _Books) -> Iterator[Violation]:
    for invoice in books.invoices:
        messages = books.messages[invoice.pk]
        expected = 1 if invoice.closed_at is not None and invoice.total_cents else 0
        if len(messages) != expected:
            yield Violation("I8", str(invoice.pk), f"{len(messages)} messages instead of {expected}")
        for message in messages:
            if message.status == MessageStatus.DONE and invoice.status == "draft":
                yield Violation("I8", str(invoice.pk), "its message is done, it was not sent")


def _replacements(books: _Books) -> Iterator[Violation]:
    """What stands in for an invoice charges what that one charged, without what was dropped; never both are live."""
    by_id = {invoice.pk: invoice for invoice in books.invoices}
    dropped = set(DroppedLine.objects.values_list("line_item", flat=True))
    for invoice in books.invoices:
        live = [line for line in books.lines[invoice.pk] if line.live]
        if invoice.status == "canceled" and live:
            yield Violation("I1", str(invoice.pk), f"canceled, with {len(live)} live lines")
        first = by_id.get(invoice.replaces_id)
        if first is None:
            continue
        if first.status != "canceled":
            yield Violation("I1", str(invoice.pk), f"replaces an invoice that is {first.status}")
        left = [line for line in books.lines[first.pk] if line.pk not in dropped]
        if Counter(map(_charge, books.lines[invoice.pk])) != Counter(map(_charge, left)):
            yield Violation("I3", str(invoice.pk), "does not charge what the first one did, less what was dropped")


def _charge(line: LineItem) -> tuple[Any, ...]:
    return line.item_type, line.cycle_key, line.patient_reference, line.quantity, line.unit_price_cents


def _corrections() -> Iterator[Violation]:
    """A correction that is done shows in the books, and one that is not has neither note nor replacement (I7)."""
    notes = set(CreditNote.objects.values_list("pk", flat=True))
    for correction in Correction.objects.select_related("invoice").defer("note", "invoice__internal_note"):
        done, name = correction.status == "done", f"{correction.kind} {correction.pk}"
        if correction.kind == "credit" and done != (correction.pk in notes) and correction.status != "approved":
            yield Violation("I7", name, f"is {correction.status}, its credit note says otherwise")
        if correction.kind in {"cancel", "replace"} and done and correction.invoice.status != "canceled":
            yield Violation("I7", name, f"is done, its invoice is {correction.invoice.status}")
        if correction.kind == "replace" and done != Invoice.objects.filter(replaces=correction.invoice_id).exists():
            yield Violation("I7", name, f"is {correction.status}, its replacement says otherwise")
        own = OutboxMessage.objects.filter(correction=correction).first()
        if own is not None and own.status == MessageStatus.DONE and correction.status == "approved":
            yield Violation("I8", name, "its message is done, it has not ended")


def _chain() -> Iterator[Violation]:
    for broken in chain.verify()[1]:
        yield Violation("I10", f"{broken.stream} #{broken.seq}", broken.code)


def _cycles(books: _Books) -> Iterator[Violation]:
    statuses: dict[Any, list[tuple[datetime, str]]] = defaultdict(list)
    for change in OfficeStatusChange.objects.order_by("effective_at"):
        statuses[change.office_id].append((change.effective_at, change.status))
    for before, after in zip(books.cycles, books.cycles[1:], strict=False):
        if before.office_id != after.office_id or before.end_at == after.start_at:
            continue
        name = f"{before.office.reference} {before.key}"
        if before.end_at > after.start_at:
            yield Violation("I11", name, f"overlaps {after.key}")
        elif _ever_live(statuses[before.office_id], before.end_at, after.start_at):
            yield Violation("I11", name, f"a gap before {after.key} in which the office was live")


def _ever_live(statuses: list[tuple[datetime, str]], start: datetime, end: datetime) -> bool:
    at_start = [status for at, status in statuses if at <= start][-1:]
    later = [status for at, status in statuses if start < at < end]
    return bool({"trialing", "active"} & {*at_start, *later})


def _stored_identities(books: _Books) -> Iterator[Violation]:
    stored = "\n".join(
        str(row)
        for model in (OutboundRequest, StripeEvent)
        for row in model.objects.values_list(*(field.attname for field in model._meta.concrete_fields))
    )
    stored += "\n".join(message.payload for messages in books.messages.values() for message in messages)
    yield from _identities_in(books, stored, "stored for or from Stripe")


def _sent_identities(books: _Books, stripe: StripeStandIn) -> Iterator[Violation]:
    yield from _identities_in(books, stripe.all_bytes().decode("latin-1"), "sent to Stripe")


def _identities_in(books: _Books, text: str, where: str) -> Iterator[Violation]:
    for patient in books.patients:
        if patient in text or patient.replace("-", "") in text:
            yield Violation("I12", patient, where)


def _stripe_invoices(books: _Books, stripe: StripeStandIn) -> Iterator[Violation]:
    live: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for held in stripe.objects("invoice"):
        if held["status"] != "void":
            live[held["metadata"].get("invoice_id", "")].append(held)
    waiting = StripeEvent.objects.filter(status__in=[EventStatus.PENDING, EventStatus.QUARANTINED])
    unheard = set(waiting.values_list("object_id", flat=True))
    for invoice in books.invoices:
        yield from _held_for(invoice, live.pop(str(invoice.pk), []), unheard)
    for own_id, foreign in live.items():
        yield Violation("I5", own_id or "no id of ours", f"{len(foreign)} invoices at Stripe that nobody owes")


def _held_for(invoice: Invoice, held: list[dict[str, Any]], unheard: set[str]) -> Iterator[Violation]:
    if len(held) > 1:
        yield Violation("I5", str(invoice.pk), f"{len(held)} invoices at Stripe")
    totals = [(each["total"], each["currency"].upper()) for each in held]
    known_to_stripe = invoice.status in {"sent", "paid", "failed"} and invoice.total_cents
    if known_to_stripe and totals != [(invoice.total_cents, invoice.currency)]:
        yield Violation("I4", str(invoice.pk), f"we say {invoice.total_cents}, Stripe {totals}")
    paid = {each["id"] for each in held if each["status"] == "paid"}
    # A parked office is an open discrepancy, an event that waits is news on its way.
    if paid - unheard and invoice.status != "paid" and invoice.office.parked_at is None:
        yield Violation("I9", str(invoice.pk), f"paid at Stripe, {invoice.status} here")
