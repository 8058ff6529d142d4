"""Parse payment intents, charges, refunds, disputes, credit notes and events; else `InboundMalformed`."""

from billing.stripe_gateway import strict_fields as read
from billing.stripe_gateway.inbound_money import (
    CreditNoteState,
    DisputeState,
    InboundCharge,
    InboundCreditNote,
    InboundDispute,
    InboundPaymentIntent,
    InboundRefund,
    IntentState,
    RefundState,
)
from billing.stripe_gateway.outbound_values import Currency
from billing.stripe_gateway.webhook import EventEnvelope, WebhookRefused, envelope_of

_CHARGES = ("ch_", "py_")
_INTENTS = ("pi_",)


def parse_payment_intent(data: object) -> InboundPaymentIntent:
    """Parse a payment intent. Raises `InboundMalformed`."""
    fields = read.mapping(data, "payment_intent")
    read.kind_of_object(fields, "payment_intent")
    state = next((known for known in IntentState if known.value == fields.get("status")), IntentState.OTHER)
    return InboundPaymentIntent(
        id=read.stripe_id(fields, "id", _INTENTS),
        status=state,
        amount_cents=read.integer(fields, "amount"),
        currency=read.choice(fields, "currency", Currency),
        charge_id=read.optional_stripe_id(fields, "latest_charge", _CHARGES),
    )


def parse_charge(data: object) -> InboundCharge:
    """Parse a charge. Raises `InboundMalformed`."""
    fields = read.mapping(data, "charge")
    read.kind_of_object(fields, "charge")
    return InboundCharge(
        id=read.stripe_id(fields, "id", _CHARGES),
        payment_intent_id=read.optional_stripe_id(fields, "payment_intent", _INTENTS),
        amount_cents=read.integer(fields, "amount"),
        refunded_cents=read.integer(fields, "amount_refunded"),
        currency=read.choice(fields, "currency", Currency),
    )


def parse_refund(data: object) -> InboundRefund:
    """Parse a refund. Raises `InboundMalformed`."""
    fields = read.mapping(data, "refund")
    read.kind_of_object(fields, "refund")
    return InboundRefund(
        id=read.stripe_id(fields, "id", ("re_", "pyr_")),
        status=read.choice(fields, "status", RefundState),
        amount_cents=read.integer(fields, "amount"),
        currency=read.choice(fields, "currency", Currency),
        payment_intent_id=read.optional_stripe_id(fields, "payment_intent", _INTENTS),
        charge_id=read.optional_stripe_id(fields, "charge", _CHARGES),
        created=read.integer(fields, "created"),
    )


def parse_dispute(data: object) -> InboundDispute:
    """Parse a dispute. Raises `InboundMalformed`."""
    fields = read.mapping(data, "dispute")
    read.kind_of_object(fields, "dispute")
    return InboundDispute(
        id=read.stripe_id(fields, "id", ("dp_", "du_")),
        status=read.choice(fields, "status", DisputeState),
        amount_cents=read.integer(fields, "amount"),
        currency=read.choice(fields, "currency", Currency),
        payment_intent_id=read.optional_stripe_id(fields, "payment_intent", _INTENTS),
        charge_id=read.optional_stripe_id(fields, "charge", _CHARGES),
        created=read.integer(fields, "created"),
    )


def parse_credit_note(data: object) -> InboundCreditNote:
    """Parse a credit note. Raises `InboundMalformed`."""
    fields = read.mapping(data, "credit_note")
    read.kind_of_object(fields, "credit_note")
    metadata = read.optional_mapping(fields, "metadata")
    own = read.own_uuid(metadata, "credit_note_id")
    return InboundCreditNote(
        id=read.stripe_id(fields, "id", ("cn_",)),
        invoice_id=read.stripe_id(fields, "invoice", ("in_",)),
        status=read.choice(fields, "status", CreditNoteState),
        amount_cents=read.integer(fields, "amount"),
        before_payment_cents=read.integer(fields, "pre_payment_amount"),
        after_payment_cents=read.integer(fields, "post_payment_amount"),
        out_of_band_cents=read.optional_integer(fields, "out_of_band_amount") or 0,
        currency=read.choice(fields, "currency", Currency),
        own_credit_note_id=own,
        # We send no memo, and one metadata value.
        has_foreign_text=bool(fields.get("memo")) or len(metadata) > (own is not None),
        created=read.integer(fields, "created"),
    )


def parse_event(data: object) -> EventEnvelope:
    """Parse an event of a list to what a webhook would have kept of it. Raises `InboundMalformed`."""
    refused: str | None = None
    try:
        return envelope_of(data)
    except WebhookRefused as error:
        refused = error.field or "event"
    # Raised outside of the handler, so that no context hangs on it.
    raise read.InboundMalformed(refused)
