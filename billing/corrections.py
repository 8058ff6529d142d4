"""Correct an invoice that was closed: one person asks, another one decides, delivery carries it out.

A correction moves or forgives money, so that nobody may do it alone (product.md, "Money at Stripe"); only the retry of
a failed payment, which asks for nothing new, needs no second person.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from billing.correction_ending import end_correction, tell
from billing.correction_rules import AmountNotTaken, CorrectionRefused, InvoiceChanged, check_fits
from billing.documents import CorrectionDocument
from billing.expectations import CREDIT_REASON_OF
from billing.models import (
    OPEN_CORRECTIONS,
    Correction,
    CorrectionKind,
    CorrectionReason,
    CorrectionStatus,
    DroppedLine,
    Invoice,
    InvoiceStatus,
    LineItem,
    MessageKind,
    PaybackChannel,
)
from billing.outbox import is_unsent, new_message, take_back
from billing.payment_state import money_of
from billing.payment_status import cancel_unsent
from billing.staff_notes import KeptNote, keep_note
from billing.wake_up import Bell, ring_after_commit
from offices.locking import OfficeBusy, lock_office

# A week: long enough for a colleague's leave, short enough that nobody approves what both have forgotten.
LIFETIME = timedelta(days=7)


class InvoiceNotFound(LookupError):
    """There is no such invoice."""


class CorrectionNotFound(LookupError):
    """There is no such correction."""


class CorrectionOpen(CorrectionRefused):
    """Another correction of this invoice waits or is under way: one at a time."""

    code = "correction_open"


class DeliveryUnderWay(CorrectionRefused):
    """The invoice is on its way to Stripe: correct it when it has arrived, within minutes as a rule."""

    code = "delivery_under_way"


class LineNotOfInvoice(CorrectionRefused):
    """A line to drop is none of this invoice's live lines."""

    code = "line_not_of_invoice"


class NothingLeft(CorrectionRefused):
    """The replacement would have no line, or owe less than nothing: cancel without a replacement."""

    code = "nothing_left"


class CorrectionNotWaiting(CorrectionRefused):
    """The correction was decided already, or has expired."""

    code = "correction_not_waiting"


class CorrectionExpired(CorrectionRefused):
    """Nobody decided in time: ask again."""

    code = "correction_expired"


class SecondPersonNeeded(CorrectionRefused):
    """Who asked must not decide; to take a request back, withdraw it."""

    code = "second_person_needed"


class NotTheRequester(CorrectionRefused):
    """Only who asked may withdraw; somebody else approves or rejects."""

    code = "not_the_requester"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    `amount_cents` for a credit and an offline payment; `payback` for a credit on a paid invoice; `dropped`: the lines
    that a replacement leaves out. `override_reason` says why a note stands that looks like patient data.
    """

    kind: CorrectionKind
    reason: CorrectionReason
    amount_cents: int | None = None
    payback: PaybackChannel | None = None
    dropped: frozenset[UUID] = frozenset()
    note: str = ""
    override_reason: str = ""


@transaction.atomic
def request_correction(*, invoice_id: UUID, wish: Wish, seen_version: int, actor: str, now: datetime) -> Correction:
    """Ask for a correction of the invoice that was seen in this version; a retry is approved at once.

    Raises InvoiceNotFound, the CorrectionRefused that fits, NoteLooksLikePatientData, and the office lock's OfficeBusy.
    """
    invoice = _locked_invoice(invoice_id)
    _expire_forgotten(invoice, actor=actor, now=now)
    if Correction.objects.filter(invoice=invoice, status__in=OPEN_CORRECTIONS).exists():
        raise CorrectionOpen("another correction of this invoice is open")
    if invoice.version != seen_version:
        raise InvoiceChanged("the invoice changed since it was looked at")
    note = keep_note(invoice.office_id, wish.note, override_reason=wish.override_reason)
    correction = _asked(invoice, wish, note, actor=actor, now=now)
    _check(correction)
    dropped = _lines_to_drop(invoice, wish)
    correction.save(force_insert=True)
    DroppedLine.objects.bulk_create([DroppedLine(correction=correction, line_item=line) for line in dropped])
    tell(correction, "correction.requested", {"reason": wish.reason}, actor=actor, now=now)
    if note.overridden:
        tell(correction, "note.advice_overridden", {"codes": ",".join(note.overridden)}, actor=actor, now=now)
    if wish.kind == CorrectionKind.RETRY:
        _start(correction, actor=actor, now=now)
    return correction


@transaction.atomic
def approve_correction(*, correction_id: UUID, actor: str, now: datetime) -> Correction:
    """Let a correction go ahead, as somebody else than who asked, if the invoice is still as that person saw it.

    Raises CorrectionNotFound, the CorrectionRefused that fits, and the office lock's OfficeBusy.
    """
    correction = _locked_waiting(correction_id, now)
    if not actor.strip() or actor == correction.requested_by:
        raise SecondPersonNeeded("somebody else than who asked has to decide")
    if correction.invoice.version != correction.invoice_version:
        raise InvoiceChanged("the invoice changed since the correction was asked for")
    _check(correction)
    correction.status, correction.decided_by, correction.decided_at = CorrectionStatus.APPROVED, actor, now
    correction.save(update_fields=["status", "decided_by", "decided_at"])
    tell(correction, "correction.approved", {}, actor=actor, now=now)
    _start(correction, actor=actor, now=now)
    correction.refresh_from_db()
    return correction


@transaction.atomic
def reject_correction(*, correction_id: UUID, actor: str, now: datetime) -> Correction:
    """Refuse a correction, as somebody else than who asked. Raises like `approve_correction`."""
    correction = _locked_waiting(correction_id, now)
    if not actor.strip() or actor == correction.requested_by:
        raise SecondPersonNeeded("who asked withdraws; somebody else rejects")
    return _drop(correction, "correction.rejected", actor=actor, now=now)


@transaction.atomic
def withdraw_correction(*, correction_id: UUID, actor: str, now: datetime) -> Correction:
    """Take one's own request back before it is decided. Raises like `approve_correction`."""
    correction = _locked_waiting(correction_id, now)
    if actor != correction.requested_by:
        raise NotTheRequester("only who asked may withdraw")
    return _drop(correction, "correction.withdrawn", outcome="withdrawn", actor=actor, now=now)


def expire_corrections(*, actor: str, now: datetime) -> int:
    """End the requests that nobody decided in time; return how many. A busy office is left for the next time."""
    late = Correction.objects.filter(status=CorrectionStatus.REQUESTED, expires_at__lte=now).order_by("expires_at")
    expired = 0
    for invoice_id in late.values_list("invoice", flat=True):
        try:
            with transaction.atomic():
                expired += _expire_forgotten(_locked_invoice(invoice_id), actor=actor, now=now)
        except OfficeBusy:
            continue
    return expired


def _locked_invoice(invoice_id: UUID) -> Invoice:
    office_id = Invoice.objects.filter(pk=invoice_id).values_list("office", flat=True).first()
    if office_id is None:
        raise InvoiceNotFound("there is no such invoice")
    lock_office(office_id)
    return Invoice.objects.select_related("office").defer("internal_note").get(pk=invoice_id)


def _locked_waiting(correction_id: UUID, now: datetime) -> Correction:
    """Return the request with its invoice, its office locked; raise when it does not wait any more."""
    correction = Correction.objects.filter(pk=correction_id).only("invoice").first()
    if correction is None:
        raise CorrectionNotFound("there is no such correction")
    invoice = _locked_invoice(correction.invoice_id)
    correction = Correction.objects.get(pk=correction_id)
    correction.invoice = invoice
    if correction.status != CorrectionStatus.REQUESTED:
        raise CorrectionNotWaiting(f"the correction is {correction.status}")
    if correction.expires_at <= now:
        raise CorrectionExpired("nobody decided in time")
    return correction


def _asked(invoice: Invoice, wish: Wish, note: KeptNote, *, actor: str, now: datetime) -> Correction:
    at_once = wish.kind == CorrectionKind.RETRY
    return Correction(
        invoice=invoice,
        kind=wish.kind,
        status=CorrectionStatus.APPROVED if at_once else CorrectionStatus.REQUESTED,
        reason=wish.reason,
        note=note.text,
        amount_cents=wish.amount_cents,
        payback=wish.payback or "",
        invoice_version=invoice.version,
        requested_by=actor,
        requested_at=now,
        expires_at=now + LIFETIME,
        decided_by=actor if at_once else "",
        decided_at=now if at_once else None,
    )


def _check(correction: Correction) -> None:
    """Raise when the correction does not fit the invoice, or when the invoice is just being sent."""
    invoice = correction.invoice
    check_fits(correction, invoice, money_of([invoice])[invoice.pk])
    if invoice.status == InvoiceStatus.DRAFT and not is_unsent(invoice):
        raise DeliveryUnderWay("the invoice is on its way to Stripe")


def _lines_to_drop(invoice: Invoice, wish: Wish) -> list[LineItem]:
    if wish.kind != CorrectionKind.REPLACE:
        if wish.dropped:
            raise AmountNotTaken("only a replacement leaves lines out")
        return []
    lines = LineItem.objects.filter(invoice=invoice, live=True)
    dropped = list(lines.filter(pk__in=wish.dropped))
    if len(dropped) != len(wish.dropped):
        raise LineNotOfInvoice("a line to drop is none of the invoice's")
    left = (invoice.total_cents or 0) - sum(line.quantity * line.unit_price_cents for line in dropped)
    if left < 0 or lines.count() == len(dropped):
        raise NothingLeft("nothing would be left to owe")
    return dropped


def _start(correction: Correction, *, actor: str, now: datetime) -> None:
    """Queue what Stripe must be told; of an invoice that Stripe never heard of nothing is, and it ends here."""
    invoice = correction.invoice
    if invoice.status == InvoiceStatus.DRAFT:
        if not take_back(invoice):
            raise DeliveryUnderWay("the invoice is on its way to Stripe")
        cancel_unsent(invoice, actor=actor, now=now)
        end_correction(correction, CorrectionStatus.DONE, outcome="not_sent", actor=actor, now=now)
        return
    message = new_message(
        MessageKind.CORRECTION, invoice.office, _document(correction), now=now, invoice=invoice, correction=correction
    )
    message.save(force_insert=True)
    ring_after_commit(Bell.OUTBOX)


def _document(correction: Correction) -> CorrectionDocument:
    invoice, credit = correction.invoice, correction.kind == CorrectionKind.CREDIT
    return CorrectionDocument(
        correction=str(correction.pk),
        office=str(invoice.office_id),
        stripe_invoice=str(invoice.stripe_invoice_id),
        kind=correction.kind,
        amount_cents=correction.amount_cents if credit else None,
        payback=correction.payback or None,
        reason=CREDIT_REASON_OF[CorrectionReason(correction.reason)].value if credit else None,
    )


def _drop(correction: Correction, action: str, *, outcome: str = "", actor: str, now: datetime) -> Correction:
    correction.status, correction.outcome, correction.ended_at = CorrectionStatus.REJECTED, outcome, now
    correction.decided_by, correction.decided_at = actor, now
    correction.save(update_fields=["status", "outcome", "ended_at", "decided_by", "decided_at"])
    tell(correction, action, {}, actor=actor, now=now)
    return correction


def _expire_forgotten(invoice: Invoice, *, actor: str, now: datetime) -> int:
    late = Correction.objects.filter(invoice=invoice, status=CorrectionStatus.REQUESTED, expires_at__lte=now)
    for correction in late:
        correction.status, correction.ended_at = CorrectionStatus.EXPIRED, now
        correction.save(update_fields=["status", "ended_at"])
        correction.invoice = invoice
        tell(correction, "correction.expired", {}, actor=actor, now=now)
    return len(late)
