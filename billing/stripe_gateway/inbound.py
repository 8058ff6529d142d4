"""All we keep of what Stripe says: frozen dataclasses (parsed strictly in `inbound_parsing`).

Unknown extra fields are ignored (Stripe adds some at any time); a missing field or a wrong type is `InboundMalformed`.
Text that is not ours is reduced to a yes or no and the name of its field: people type into Stripe's dashboard, and
what they type may be about a patient. Both shapes in use are read: 2025-11-17.clover and that of the pinned SDK.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from billing.stripe_gateway.outbound_values import (
    ApprovedProfile,
    CollectionMethod,
    Currency,
    Cycle,
    InvoiceKind,
    LineText,
    StripeId,
)

Item = TypeVar("Item")


class InvoiceState(Enum):
    """Stripe's own status of an invoice."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class PaymentState(Enum):
    """Stripe's own status of a payment of an invoice."""

    OPEN = "open"
    PAID = "paid"
    CANCELED = "canceled"


class PaymentType(Enum):
    """What a payment is at Stripe; types added later read as OTHER."""

    CHARGE = "charge"
    PAYMENT_INTENT = "payment_intent"
    PAYMENT_RECORD = "payment_record"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class InboundUnreadable:
    """An object of a list that does not fit our types: somebody else's invoice in euros, say.

    One odd object must not hide the others; `field` is our name of what does not fit, never what it held.
    """

    id: StripeId
    field: str
    own_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class InboundPage(Generic[Item]):
    """One page of a list; with `has_more`, ask again after `last_id`."""

    items: tuple[Item, ...]
    has_more: bool
    unreadable: tuple[InboundUnreadable, ...] = ()
    last_id: StripeId | None = None

    @property
    def next_after(self) -> StripeId | None:
        """The id to ask on after, None at the end of the list."""
        return self.last_id if self.has_more else None


@dataclass(frozen=True, slots=True)
class InboundCustomer:
    """A Stripe customer. Of a deleted one Stripe tells only the id; amounts are cents, negative balance is credit."""

    id: StripeId
    own_office_id: uuid.UUID | None
    deleted: bool
    balance_cents: int
    created: int | None
    has_email: bool
    _profile: bytes = field(repr=False)

    def has_profile(self, profile: ApprovedProfile) -> bool:
        """Whether name and e-mail at Stripe are exactly the approved ones (the text itself is not kept)."""
        return self._profile == profile_digest(profile.name, profile.email)


@dataclass(frozen=True, slots=True)
class InboundLine:
    """A line of an invoice; `text` is None when its description is none of ours, numbers None when not whole."""

    id: StripeId
    text: LineText | None
    quantity: int | None
    unit_amount_cents: int | None
    amount_cents: int
    currency: Currency


@dataclass(frozen=True, slots=True)
class InboundInvoiceItem:
    """An invoice item as Stripe took it, to be compared with what was sent."""

    id: StripeId
    customer_id: StripeId
    invoice_id: StripeId | None
    text: LineText | None
    quantity: int | None
    unit_amount_cents: int | None
    amount_cents: int
    currency: Currency


@dataclass(frozen=True, slots=True)
class InboundPayment:
    """One payment of an invoice; `amount_paid_cents` is None until it is paid, times are Unix seconds."""

    id: StripeId
    invoice_id: StripeId
    type: PaymentType
    status: PaymentState
    amount_paid_cents: int | None
    amount_requested_cents: int
    currency: Currency
    paid_at: int | None
    payment_intent_id: StripeId | None
    charge_id: StripeId | None


@dataclass(frozen=True, slots=True)
class InboundInvoice:
    """An invoice as it is at Stripe; cents and Unix seconds.

    `own_*` come from our metadata (None: not ours or edited). `foreign_fields` names the places that hold text we did
    not send. `payments` is filled only when they were asked for (`payments_expanded`).
    """

    id: StripeId
    customer_id: StripeId
    status: InvoiceState
    currency: Currency
    collection_method: CollectionMethod
    total_cents: int
    amount_due_cents: int
    amount_paid_cents: int
    amount_remaining_cents: int
    starting_balance_cents: int
    ending_balance_cents: int | None
    overpaid_cents: int
    credited_before_payment_cents: int
    credited_after_payment_cents: int
    own_invoice_id: uuid.UUID | None
    own_cycle: Cycle | None
    own_kind: InvoiceKind | None
    attempted: bool
    attempt_count: int
    auto_advance: bool
    finalization_failed: bool
    created: int
    due_date: int | None
    finalized_at: int | None
    paid_at: int | None
    voided_at: int | None
    marked_uncollectible_at: int | None
    hosted_invoice_url: str | None = field(repr=False)
    number: str | None
    description_matches: bool
    foreign_fields: tuple[str, ...]
    lines: tuple[InboundLine, ...]
    lines_have_more: bool
    payments: tuple[InboundPayment, ...]
    payments_expanded: bool
    payments_have_more: bool
    # What speaks against words in `foreign_fields`, by codes: only where somebody judged them (`foreign_words`).
    foreign_codes: tuple[str, ...] = ()


def profile_digest(name: str | None, email: str | None) -> bytes:
    """Digest of a customer's name and e-mail, so that they can be compared without being kept."""
    # Lengths first, so that no two pairs render the same; empty text and null are the same absence at Stripe.
    parts = [(part or "").encode("utf-8", "surrogatepass") for part in (name, email)]
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
