"""Reads beyond the look before a re-send: what reconciliation and the news from Stripe ask for.

Windows are half-open [created_from, created_until) in Unix seconds, pages hold 100 objects, newest first.
"""

from dataclasses import dataclass

from billing.stripe_gateway.inbound import InboundInvoice, InboundInvoiceItem, InboundPage, InboundPayment
from billing.stripe_gateway.inbound_money import (
    InboundCharge,
    InboundCreditNote,
    InboundDispute,
    InboundPaymentIntent,
    InboundRefund,
)
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import PAGE, EncodedRequest, OutboundRequest, Params, optional, require_prefix
from billing.stripe_gateway.outbound_values import OutboundValueInvalid, StripeId, UnixTime
from billing.stripe_gateway.webhook import EventEnvelope


@dataclass(frozen=True, slots=True)
class Window:
    """Objects created in [created_from, created_until)."""

    created_from: UnixTime
    created_until: UnixTime

    def __post_init__(self) -> None:
        if self.created_from.value >= self.created_until.value:
            raise OutboundValueInvalid("Window")

    def params(self) -> Params:
        """Render Stripe's two bounds."""
        return (("created[gte]", str(self.created_from)), ("created[lt]", str(self.created_until)))


@dataclass(frozen=True, slots=True)
class ListInvoicesCreated(OutboundRequest[InboundPage[InboundInvoice]]):
    """All invoices of the account made in a window, each with its lines and payments."""

    window: Window
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/invoices."""
        params = (*self.window.params(), ("expand[]", "data.payments"), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_INVOICES, "GET", "/v1/invoices", params)


@dataclass(frozen=True, slots=True)
class ListInvoicePayments(OutboundRequest[InboundPage[InboundPayment]]):
    """The payments of one invoice, for one that has more than an expanded reply holds, or those of a payment intent."""

    of: StripeId
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/invoice_payments."""
        require_prefix(self.of, "in_", "pi_")
        selected: Params = (("invoice", str(self.of)),)
        if str(self.of).startswith("pi_"):
            selected = (("payment[type]", "payment_intent"), ("payment[payment_intent]", str(self.of)))
        params = (*selected, PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_INVOICE_PAYMENTS, "GET", "/v1/invoice_payments", params)


@dataclass(frozen=True, slots=True)
class ListPendingItems(OutboundRequest[InboundPage[InboundInvoiceItem]]):
    """Items that hang on no invoice: we make none, so each one is an orphan that an invoice could sweep in."""

    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/invoiceitems."""
        params = (("pending", "true"), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_PENDING_ITEMS, "GET", "/v1/invoiceitems", params)


@dataclass(frozen=True, slots=True)
class RetrievePaymentIntent(OutboundRequest[InboundPaymentIntent]):
    """Fetch one payment intent: whether a bank debit is under way, and its charge."""

    payment_intent: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/payment_intents/{payment_intent}."""
        require_prefix(self.payment_intent, "pi_")
        path = f"/v1/payment_intents/{self.payment_intent}"
        return EncodedRequest(Operation.RETRIEVE_PAYMENT_INTENT, "GET", path)


@dataclass(frozen=True, slots=True)
class RetrieveCharge(OutboundRequest[InboundCharge]):
    """Fetch one charge, to learn which payment intent it belongs to."""

    charge: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/charges/{charge}."""
        require_prefix(self.charge, "ch_", "py_")
        return EncodedRequest(Operation.RETRIEVE_CHARGE, "GET", f"/v1/charges/{self.charge}")


@dataclass(frozen=True, slots=True)
class ListRefunds(OutboundRequest[InboundPage[InboundRefund]]):
    """All refunds made in a window, or those of one payment intent."""

    of: Window | StripeId
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/refunds."""
        params = (*_window_or_intent(self.of), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_REFUNDS, "GET", "/v1/refunds", params)


@dataclass(frozen=True, slots=True)
class RetrieveRefund(OutboundRequest[InboundRefund]):
    """Fetch one refund as it is now."""

    refund: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/refunds/{refund}."""
        require_prefix(self.refund, "re_", "pyr_")
        return EncodedRequest(Operation.RETRIEVE_REFUND, "GET", f"/v1/refunds/{self.refund}")


@dataclass(frozen=True, slots=True)
class ListDisputes(OutboundRequest[InboundPage[InboundDispute]]):
    """All disputes opened in a window, or those of one payment intent."""

    of: Window | StripeId
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/disputes."""
        params = (*_window_or_intent(self.of), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_DISPUTES, "GET", "/v1/disputes", params)


@dataclass(frozen=True, slots=True)
class RetrieveDispute(OutboundRequest[InboundDispute]):
    """Fetch one dispute as it is now."""

    dispute: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/disputes/{dispute}."""
        require_prefix(self.dispute, "dp_", "du_")
        return EncodedRequest(Operation.RETRIEVE_DISPUTE, "GET", f"/v1/disputes/{self.dispute}")


@dataclass(frozen=True, slots=True)
class ListCreditNotes(OutboundRequest[InboundPage[InboundCreditNote]]):
    """All credit notes made in a window, or those of one invoice."""

    of: Window | StripeId
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/credit_notes."""
        if isinstance(self.of, Window):
            selected = self.of.params()
        else:
            require_prefix(self.of, "in_")
            selected = (("invoice", str(self.of)),)
        params = (*selected, PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_CREDIT_NOTES, "GET", "/v1/credit_notes", params)


@dataclass(frozen=True, slots=True)
class RetrieveCreditNote(OutboundRequest[InboundCreditNote]):
    """Fetch one credit note as it is now."""

    credit_note: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/credit_notes/{credit_note}."""
        require_prefix(self.credit_note, "cn_")
        return EncodedRequest(Operation.RETRIEVE_CREDIT_NOTE, "GET", f"/v1/credit_notes/{self.credit_note}")


@dataclass(frozen=True, slots=True)
class ListEvents(OutboundRequest[InboundPage[EventEnvelope]]):
    """All events of a window; Stripe keeps them for 30 days."""

    window: Window
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/events."""
        params = (*self.window.params(), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_EVENTS, "GET", "/v1/events", params)


def _window_or_intent(of: Window | StripeId) -> Params:
    if isinstance(of, Window):
        return of.params()
    require_prefix(of, "pi_")
    return (("payment_intent", str(of)),)
