"""Put documents in the outbox: the payload is frozen here, once, and never rebuilt."""

from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet

from billing import documents
from billing.documents import Document
from billing.models import Correction, Invoice, MessageKind, MessageStatus, OutboxMessage, OutboxStep
from offices.models import Office


def new_message(
    kind: MessageKind,
    office: Office,
    document: Document,
    *,
    now: datetime,
    invoice: Invoice | None = None,
    correction: Correction | None = None,
) -> OutboxMessage:
    """Return the unsaved message that holds `document` as canonical text with its digest, due at once."""
    payload = documents.to_text(document)
    return OutboxMessage(
        kind=kind,
        office=office,
        invoice=invoice,
        correction=correction,
        payload=payload,
        payload_digest=documents.digest(payload),
        next_attempt_at=now,
        created_at=now,
    )


def is_unsent(invoice: Invoice) -> bool:
    """Say whether nothing of the invoice can have reached Stripe: its message waits, and no step of it was tried."""
    return _unsent(invoice).exists()


def take_back(invoice: Invoice) -> bool:
    """Put the invoice's message away if nothing of it was sent, so that no worker takes it any more.

    Decided by one statement: a worker that leases the message at the same time has it, or never gets it.
    """
    return _unsent(invoice).update(status=MessageStatus.DEAD, error_code="canceled") == 1


def _unsent(invoice: Invoice) -> QuerySet[OutboxMessage]:
    tried = OutboxStep.objects.filter(message=OuterRef("pk"), first_sent_at__isnull=False)
    waiting = OutboxMessage.objects.filter(invoice=invoice, kind=MessageKind.INVOICE)
    return waiting.filter(~Exists(tried), status__in=[MessageStatus.PENDING, MessageStatus.PARKED])
