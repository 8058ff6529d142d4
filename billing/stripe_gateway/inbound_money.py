"""All we keep of money that moved at Stripe: payment intents, charges, refunds, disputes, credit notes.

Never the cardholder: a charge holds a name and an e-mail, of which nothing is read (parsed in
`inbound_money_parsing.py`). Amounts are cents, times Unix seconds.
"""

import uuid
from dataclasses import dataclass
from enum import Enum

from billing.stripe_gateway.outbound_values import Currency, StripeId


class IntentState(Enum):
    """Stripe's own status of a payment intent; states added later read as OTHER."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    OTHER = "other"


class RefundState(Enum):
    """Stripe's own status of a refund."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeState(Enum):
    """Stripe's own status of a dispute. A `warning_*` is an inquiry: no money was withdrawn."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"


class CreditNoteState(Enum):
    """Stripe's own status of a credit note."""

    ISSUED = "issued"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class InboundPaymentIntent:
    """A payment intent: how far the money has come, and the charge that moved it."""

    id: StripeId
    status: IntentState
    amount_cents: int
    currency: Currency
    charge_id: StripeId | None


@dataclass(frozen=True, slots=True)
class InboundCharge:
    """A charge: which payment intent it belongs to and how much of it went back."""

    id: StripeId
    payment_intent_id: StripeId | None
    amount_cents: int
    refunded_cents: int
    currency: Currency


@dataclass(frozen=True, slots=True)
class InboundRefund:
    """Money on its way back, or there; a failed one returned to us."""

    id: StripeId
    status: RefundState
    amount_cents: int
    currency: Currency
    payment_intent_id: StripeId | None
    charge_id: StripeId | None
    created: int


@dataclass(frozen=True, slots=True)
class InboundDispute:
    """A payment that the payer disputes at the bank."""

    id: StripeId
    status: DisputeState
    amount_cents: int
    currency: Currency
    payment_intent_id: StripeId | None
    charge_id: StripeId | None
    created: int


@dataclass(frozen=True, slots=True)
class InboundCreditNote:
    """A credit note; `before_payment_cents` lowered what was due, `after_payment_cents` gave back what was paid.

    `own_credit_note_id` comes from our metadata (None: made by somebody at Stripe). `has_foreign_text`: it holds words
    that we did not send.
    """

    id: StripeId
    invoice_id: StripeId
    status: CreditNoteState
    amount_cents: int
    before_payment_cents: int
    after_payment_cents: int
    out_of_band_cents: int
    currency: Currency
    own_credit_note_id: uuid.UUID | None
    has_foreign_text: bool
    created: int
