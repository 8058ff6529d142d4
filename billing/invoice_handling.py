"""Have the run or the workers do now, for one invoice, what they would do later: close it, send it.

Nothing is done here that they would not do: who presses the button decides when, not whether or how much.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.billing_run import run_due
from billing.invoice_backfill import backfill_invoices
from billing.models import Invoice, InvoiceOrigin, InvoiceStatus, InvoiceType, MessageKind, MessageStatus, OutboxMessage
from billing.office_run import RunSummary
from billing.wake_up import Bell, ring_after_commit
from offices.audit_stream import office_stream
from offices.locking import lock_office


class NothingToDo(Exception):
    """What is asked for is done already, or not possible as things stand; the text says which."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What a close did, or would do: invoices and cents, and problems by code."""

    invoices: int
    lines: int
    cents: int
    problems: tuple[str, ...]


def close_now(*, invoice_id: UUID, actor: str, now: datetime, dry_run: bool = False) -> Closing:
    """Close the invoice's cycle, and whatever of the office is due before it; a backfill's draft alone.

    With `dry_run` the same code runs and is rolled back. Raises NothingToDo.
    """
    invoice = Invoice.objects.select_related("office", "cycle").defer("internal_note").get(pk=invoice_id)
    _check_closable(invoice, now)
    reference, month = invoice.office.reference, invoice.cycle.key if invoice.cycle else ""
    if invoice.origin == InvoiceOrigin.BACKFILL:
        summary = backfill_invoices(
            months=(month, month), actor=actor, now=now, office_reference=reference, close=True, dry_run=dry_run
        ).run
    else:
        summary = run_due(as_of=now, actor=actor, now=now, office_reference=reference, dry_run=dry_run)
    return _closing(summary)


def _check_closable(invoice: Invoice, now: datetime) -> None:
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
        cents=sum(tally.billed.values()),
        problems=tuple(dict.fromkeys(problem.code for problem in summary.problems)),
    )


@transaction.atomic
def send_now(*, invoice_id: UUID, actor: str, now: datetime) -> None:
    """Let the invoice's message be tried at once, and that of its office's customer, which it may wait for.

    The frozen document and its keys stay as they are, so that nothing is sent twice. Raises NothingToDo, and the
    office lock's OfficeBusy.
    """
    office_id = Invoice.objects.values_list("office", flat=True).get(pk=invoice_id)
    office = lock_office(office_id)
    if office.parked_at is not None:
        raise NothingToDo("the office is parked: let it go on first, its messages go with it")
    message = message_to_send(invoice_id)
    if message is None:
        raise NothingToDo("nothing of this invoice waits to be sent")
    hurried = OutboxMessage.objects.filter(office=office, status=MessageStatus.PENDING, next_attempt_at__gt=now)
    hurried.filter(kind=MessageKind.CUSTOMER).update(next_attempt_at=now)
    hurried.filter(pk=message.pk).update(next_attempt_at=now)
    about: dict[str, PayloadValue] = {"invoice": str(invoice_id), "message": str(message.pk)}
    record(Fact(office_stream(office.reference), "outbox.hurried", about), actor=actor, now=now)
    ring_after_commit(Bell.OUTBOX)


def message_to_send(invoice_id: UUID) -> OutboxMessage | None:
    """Return the message that waits to be sent, of the invoice or of its correction; None when none does."""
    waiting = OutboxMessage.objects.filter(invoice=invoice_id, status=MessageStatus.PENDING)
    return waiting.defer("payload").order_by("created_at").first()
