"""Have the run or the workers do now, for one invoice, what they would do later: close it, send it.

Nothing is done here that they would not do: who presses the button decides when, not whether or how much, and says why.
The reason comes from a catalogue, so that it can stand in the audit trail, where nothing can be erased.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import TextChoices

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.billing_run import preview_run, run_due
from billing.invoice_backfill import backfill_invoices
from billing.models import Invoice, InvoiceOrigin, InvoiceStatus, InvoiceType, MessageKind, MessageStatus, OutboxMessage
from billing.office_run import RunSummary
from billing.wake_up import Bell, ring_after_commit
from offices.audit_stream import office_stream
from offices.locking import lock_office
from offices.models import Office


class HandlingReason(TextChoices):
    """Why a person does not wait for the run or the workers."""

    MONTH_END = "month_end", "The month is being closed"
    OFFICE_ASKS = "office_asks", "The office asks for it"
    FAULT_MENDED = "fault_mended", "What was in its way is mended"
    LOOKED_INTO = "looked_into", "It was looked into and is right"


class NothingToDo(Exception):
    """What is asked for is done already, or not possible as things stand; the text says which."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What a close did, or would do: invoices, lines, cents by currency, and problems by code."""

    invoices: int
    lines: int
    billed: Counter[str]
    problems: tuple[str, ...]

    @property
    def cents(self) -> int:
        """What was billed, of one office: in its one currency."""
        return self.billed.total()


def close_now(*, invoice_id: UUID, reason: HandlingReason, actor: str, now: datetime) -> Closing:
    """Close the invoice's cycle, and whatever of the office is due before it; a backfill's draft alone.

    Who asked and why is on record before it begins. Raises NothingToDo, and the office lock's OfficeBusy.
    """
    invoice = _to_close(invoice_id, now)
    _record_asked(invoice, reason, actor=actor, now=now)
    return _close(invoice, actor=actor, now=now, dry_run=False)


def preview_close(*, invoice_id: UUID, actor: str, now: datetime) -> Closing:
    """Return what `close_now` would do: the same code runs and is rolled back. Raises NothingToDo."""
    return _close(_to_close(invoice_id, now), actor=actor, now=now, dry_run=True)


def preview_closes(*, invoices: Sequence[Invoice], actor: str, now: datetime) -> Closing:
    """Return what closing these invoices one after the other would do, but for drafts of a backfill.

    Their offices are brought up to now, so that it may be more invoices than these. As many queries as for one.
    """
    offices = {each.office_id for each in invoices if each.origin != InvoiceOrigin.BACKFILL}
    return _closing(preview_run(office_ids=offices, actor=actor, now=now))


def _to_close(invoice_id: UUID, now: datetime) -> Invoice:
    invoice = Invoice.objects.select_related("office", "cycle").defer("internal_note").get(pk=invoice_id)
    check_closable(invoice, now)
    return invoice


def _close(invoice: Invoice, *, actor: str, now: datetime, dry_run: bool) -> Closing:
    reference, month = invoice.office.reference, invoice.cycle.key if invoice.cycle else ""
    if invoice.origin == InvoiceOrigin.BACKFILL:
        summary = backfill_invoices(
            months=(month, month), actor=actor, now=now, office_reference=reference, close=True, dry_run=dry_run
        ).run
    else:
        summary = run_due(as_of=now, actor=actor, now=now, office_reference=reference, dry_run=dry_run)
    return _closing(summary)


@transaction.atomic
def _record_asked(invoice: Invoice, reason: HandlingReason, *, actor: str, now: datetime) -> None:
    office = lock_office(invoice.office_id)
    about: dict[str, PayloadValue] = {"invoice": str(invoice.pk), "reason": reason.value}
    record(Fact(office_stream(office.reference), "invoice.close_asked", about), actor=actor, now=now)


def check_closable(invoice: Invoice, now: datetime) -> None:
    """Raise the NothingToDo that says why the invoice, read with its office and cycle, cannot be closed now."""
    if invoice.closed_at is not None or invoice.status != InvoiceStatus.DRAFT:
        raise NothingToDo("the invoice is closed already")
    if invoice.cycle is None or invoice.invoice_type != InvoiceType.MONTHLY:
        raise NothingToDo("only a monthly invoice waits to be closed")
    if invoice.cycle.end_at > now:
        ends = f"{invoice.cycle.end_at:%Y-%m-%d %H:%M}"
        raise NothingToDo(f"its month ends at {ends} UTC: until then accounts can still become active in it")
    if invoice.office.parked_at is not None:
        raise NothingToDo("the office is parked: let it go on first")


def _closing(summary: RunSummary) -> Closing:
    tally = summary.tally
    return Closing(
        invoices=tally.counts["invoices_closed"],
        lines=tally.counts["lines_added"],
        billed=tally.billed,
        problems=tuple(dict.fromkeys(problem.code for problem in summary.problems)),
    )


@transaction.atomic
def send_now(*, invoice_id: UUID, reason: HandlingReason, actor: str, now: datetime) -> None:
    """Let the invoice's message be tried at once, and that of its office's customer, which it may wait for.

    The frozen document and its keys stay as they are, so that nothing is sent twice. Raises NothingToDo, and the
    office lock's OfficeBusy.
    """
    office_id = Invoice.objects.values_list("office", flat=True).get(pk=invoice_id)
    office = lock_office(office_id)
    message = sendable(office, message_to_send(invoice_id))
    hurried = OutboxMessage.objects.filter(office=office, status=MessageStatus.PENDING, next_attempt_at__gt=now)
    hurried.filter(kind=MessageKind.CUSTOMER).update(next_attempt_at=now)
    hurried.filter(pk=message.pk).update(next_attempt_at=now)
    about: dict[str, PayloadValue] = {
        "invoice": str(invoice_id), "message": str(message.pk), "reason": reason.value,
    }  # fmt: skip
    record(Fact(office_stream(office.reference), "outbox.hurried", about), actor=actor, now=now)
    ring_after_commit(Bell.OUTBOX)


def sendable(office: Office, message: OutboxMessage | None) -> OutboxMessage:
    """Return the message when it can be tried now; raise the NothingToDo that says why it cannot."""
    if office.parked_at is not None:
        raise NothingToDo("the office is parked: let it go on first, its messages go with it")
    if message is None:
        raise NothingToDo("nothing of this invoice waits to be sent")
    return message


def message_to_send(invoice_id: UUID) -> OutboxMessage | None:
    """Return the message that waits to be sent, of the invoice or of its correction; None when none does."""
    return messages_to_send([invoice_id]).get(invoice_id)


def messages_to_send(invoice_ids: Sequence[UUID]) -> dict[UUID, OutboxMessage]:
    """Return the same for several invoices, the oldest of each, in one query."""
    waiting = OutboxMessage.objects.filter(invoice__in=invoice_ids, status=MessageStatus.PENDING)
    newest_first = waiting.defer("payload").order_by("-created_at")
    return {message.invoice_id: message for message in newest_first if message.invoice_id is not None}
