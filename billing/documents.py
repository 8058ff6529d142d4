"""The documents that go to Stripe, as frozen text: what an outbox message stores when an invoice closes.

Aggregates only: counts, cents, months and ids of ours (product.md, "Money at Stripe"). The text is canonical, so
that its digest proves that nothing was changed between close and delivery.
"""

import hashlib
import json
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any
from uuid import UUID

SCHEMA_VERSION = 1  # part of the minimum-necessary protocol: a change of what is sent is a change of version


class DocumentUnreadable(ValueError):
    """The stored text is not a document of this schema, or its digest does not match."""


@dataclass(frozen=True, slots=True)
class DocumentItem:
    """All line items of one type and one unit price, as one number."""

    item_type: str
    unit_price_cents: int
    quantity: int


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """An invoice for Stripe. `cycle` is None for setup fees and one-offs; `days_until_due` counts from finalization."""

    invoice: str
    office: str
    invoice_type: str
    cycle: str | None
    currency: str
    collection_method: str
    days_until_due: int
    items: tuple[DocumentItem, ...]
    total_cents: int

    @property
    def invoice_id(self) -> UUID:
        """The id of our invoice."""
        return UUID(self.invoice)


@dataclass(frozen=True, slots=True)
class CustomerDocument:
    """The office as a customer: an opaque or approved name, and an approved or the vendor's own mailbox."""

    office: str
    name: str
    email: str | None

    @property
    def office_id(self) -> UUID:
        """The id of our office."""
        return UUID(self.office)


@dataclass(frozen=True, slots=True)
class CorrectionDocument:
    """An approved correction of an invoice at Stripe; amount, payback and reason of a credit, else None."""

    correction: str
    office: str
    stripe_invoice: str
    kind: str
    amount_cents: int | None = None
    payback: str | None = None
    reason: str | None = None

    @property
    def correction_id(self) -> UUID:
        """The id of our correction, which a credit note carries."""
        return UUID(self.correction)


Document = InvoiceDocument | CustomerDocument | CorrectionDocument


def to_text(document: Document) -> str:
    """Return the canonical text that is stored and hashed."""
    versioned = {"v": SCHEMA_VERSION, **_as_mapping(document)}
    return json.dumps(versioned, sort_keys=True, separators=(",", ":"), default=_as_mapping)


def _as_mapping(part: Document | DocumentItem) -> dict[str, object]:
    return {field.name: getattr(part, field.name) for field in fields_of(part)}


def digest(text: str) -> str:
    """Return the SHA-256 of a stored text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_invoice(text: str, *, expected_digest: str) -> InvoiceDocument:
    """Return the stored invoice document; raise DocumentUnreadable."""
    fields = _fields(text, expected_digest)
    try:
        items = tuple(DocumentItem(**item) for item in fields.pop("items"))
        return InvoiceDocument(**fields, items=items)
    except (KeyError, TypeError):
        raise DocumentUnreadable("the stored invoice document has another shape") from None


def read_customer(text: str, *, expected_digest: str) -> CustomerDocument:
    """Return the stored customer document; raise DocumentUnreadable."""
    try:
        return CustomerDocument(**_fields(text, expected_digest))
    except TypeError:
        raise DocumentUnreadable("the stored customer document has another shape") from None


def read_correction(text: str, *, expected_digest: str) -> CorrectionDocument:
    """Return the stored correction document; raise DocumentUnreadable."""
    try:
        return CorrectionDocument(**_fields(text, expected_digest))
    except TypeError:
        raise DocumentUnreadable("the stored correction document has another shape") from None


def _fields(text: str, expected_digest: str) -> dict[str, Any]:
    if digest(text) != expected_digest:
        raise DocumentUnreadable("the stored document was changed after it was frozen")
    fields = json.loads(text)
    if fields.pop("v", None) != SCHEMA_VERSION:
        raise DocumentUnreadable("the stored document has another schema version")
    return dict(fields)
