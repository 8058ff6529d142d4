"""Put documents in the outbox: the payload is frozen here, once, and never rebuilt."""

from datetime import datetime

from billing import documents
from billing.documents import CustomerDocument, InvoiceDocument
from billing.models import Invoice, MessageKind, OutboxMessage
from offices.models import Office


def new_message(
    kind: MessageKind,
    office: Office,
    document: InvoiceDocument | CustomerDocument,
    *,
    now: datetime,
    invoice: Invoice | None = None,
) -> OutboxMessage:
    """Return the unsaved message that holds `document` as canonical text with its digest, due at once."""
    payload = documents.to_text(document)
    return OutboxMessage(
        kind=kind,
        office=office,
        invoice=invoice,
        payload=payload,
        payload_digest=documents.digest(payload),
        next_attempt_at=now,
        created_at=now,
    )
