"""Writes that correct what was sent: write off, and credit notes. (Void and pay stand in `outbound.py`.)"""

from dataclasses import dataclass

from billing.stripe_gateway.inbound import InboundInvoice
from billing.stripe_gateway.inbound_money import InboundCreditNote
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import EncodedRequest, OutboundRequest, optional, require_prefix
from billing.stripe_gateway.outbound_values import Cents, CreditReason, OutboundValueInvalid, OwnId, StripeId


@dataclass(frozen=True, slots=True)
class MarkUncollectible(OutboundRequest[InboundInvoice]):
    """Write an open invoice off; it can still be paid or voided later."""

    invoice: StripeId

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/invoices/{invoice}/mark_uncollectible."""
        require_prefix(self.invoice, "in_")
        path = f"/v1/invoices/{self.invoice}/mark_uncollectible"
        return EncodedRequest(Operation.MARK_UNCOLLECTIBLE, "POST", path)


@dataclass(frozen=True, slots=True)
class CreateCreditNote(OutboundRequest[InboundCreditNote]):
    """Credit a part or all of an invoice.

    Of a paid invoice either `refund` (back through Stripe) or `out_of_band` (we pay it back ourselves) is the whole
    `amount`: never the customer balance, which must stay 0 (decisions.md 21). Of an open invoice neither is set: what
    is due falls. Else `OutboundValueInvalid`.
    """

    invoice: StripeId
    credit_note: OwnId
    amount: Cents
    reason: CreditReason
    refund: Cents | None = None
    out_of_band: Cents | None = None

    def __post_init__(self) -> None:
        parts = [part for part in (self.refund, self.out_of_band) if part is not None]
        if self.amount.value <= 0 or len(parts) > 1 or any(part != self.amount for part in parts):
            raise OutboundValueInvalid("CreateCreditNote.amount")

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/credit_notes."""
        require_prefix(self.invoice, "in_")
        params = (
            ("invoice", str(self.invoice)),
            ("amount", str(self.amount)),
            *optional("refund_amount", self.refund),
            *optional("out_of_band_amount", self.out_of_band),
            ("reason", self.reason.value),
            ("metadata[credit_note_id]", str(self.credit_note)),
        )
        return EncodedRequest(Operation.CREATE_CREDIT_NOTE, "POST", "/v1/credit_notes", params)
