"""From a parsed reply to the row that keeps it: numbers, codes and ids; customers by their blind index."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from billing.customers import CUSTOMER_CONTEXT
from billing.models import CopyKind, ReconciliationRun, StripeInvoiceCopy, StripeMoneyCopy
from billing.stripe_gateway.inbound import (
    InboundInvoice,
    InboundInvoiceItem,
    InboundLine,
    InboundPayment,
    InboundUnreadable,
)
from billing.stripe_gateway.inbound_money import InboundCreditNote, InboundDispute, InboundRefund
from billing.stripe_gateway.outbound_values import StripeId
from offices.encryption import blind_index

MoneyObject = InboundRefund | InboundDispute | InboundCreditNote | InboundInvoiceItem | InboundUnreadable


def index_of(customer: StripeId) -> str:
    """Return the blind index of a customer id, under the first key."""
    return blind_index(str(customer), context=CUSTOMER_CONTEXT).digest


def invoice_copy(
    seen: InboundInvoice, lines: Iterable[InboundLine], run: ReconciliationRun, now: datetime
) -> StripeInvoiceCopy:
    """Return the row for an invoice; `lines` are all of them."""
    return StripeInvoiceCopy(
        stripe_invoice_id=str(seen.id),
        run=run,
        own_invoice_id=seen.own_invoice_id,
        own_cycle_key=str(seen.own_cycle or ""),
        own_kind=seen.own_kind.value if seen.own_kind else "",
        customer_index=index_of(seen.customer_id),
        status=seen.status.value,
        currency=seen.currency.value.upper(),
        total_cents=seen.total_cents,
        amount_paid_cents=seen.amount_paid_cents,
        amount_remaining_cents=seen.amount_remaining_cents,
        overpaid_cents=seen.overpaid_cents,
        credited_cents=seen.credited_before_payment_cents,
        attempt_count=seen.attempt_count,
        finalization_failed=seen.finalization_failed,
        foreign_fields=",".join(seen.foreign_fields),
        foreign_codes=",".join(seen.foreign_codes),
        lines=_lines(lines),
        created=datetime.fromtimestamp(seen.created, UTC),
        finalized_at=_time(seen.finalized_at),
        paid_at=_time(seen.paid_at),
        voided_at=_time(seen.voided_at),
        written_off_at=_time(seen.marked_uncollectible_at),
        seen_at=now,
    )


def unreadable_invoice(seen: InboundUnreadable, run: ReconciliationRun, now: datetime) -> StripeInvoiceCopy:
    """Return the row for an invoice that does not fit our types: its id, and which field it was."""
    return StripeInvoiceCopy(
        stripe_invoice_id=str(seen.id),
        run=run,
        own_invoice_id=seen.own_id,
        customer_index="",
        status="",
        currency="",
        total_cents=0,
        amount_paid_cents=0,
        amount_remaining_cents=0,
        unreadable_field=seen.field[:60],
        created=now,
        seen_at=now,
    )


def payment_copy(
    invoice: InboundInvoice, seen: InboundPayment, run: ReconciliationRun, now: datetime
) -> StripeMoneyCopy:
    """Return the row for a payment of an invoice."""
    return StripeMoneyCopy(
        stripe_id=str(seen.id),
        run=run,
        kind=CopyKind.PAYMENT,
        stripe_invoice_id=str(invoice.id),
        payment_intent_id=str(seen.payment_intent_id or ""),
        status=seen.status.value,
        amount_cents=seen.amount_paid_cents or 0,
        moved_at=_time(seen.paid_at),
        seen_at=now,
    )


def money_copy(kind: CopyKind, seen: MoneyObject, run: ReconciliationRun, now: datetime) -> StripeMoneyCopy:
    """Return the row for a refund, dispute, credit note or pending item, readable or not."""
    copy = StripeMoneyCopy(stripe_id=str(seen.id), run=run, kind=kind, amount_cents=0, seen_at=now)
    if isinstance(seen, InboundUnreadable):
        copy.unreadable_field = seen.field[:60]
        return copy
    copy.amount_cents = seen.amount_cents
    if isinstance(seen, InboundInvoiceItem):
        copy.customer_index = index_of(seen.customer_id)
        return copy
    copy.status, copy.moved_at = seen.status.value, _time(seen.created)
    if isinstance(seen, InboundCreditNote):
        copy.stripe_invoice_id = str(seen.invoice_id)
        copy.before_payment_cents, copy.out_of_band_cents = seen.before_payment_cents, seen.out_of_band_cents
        copy.has_foreign_text = seen.has_foreign_text
    else:
        copy.payment_intent_id = str(seen.payment_intent_id or "")
    return copy


def _lines(lines: Iterable[InboundLine]) -> str:
    rows = [
        [line.text.value if line.text else None, line.unit_amount_cents, line.quantity, line.amount_cents]
        for line in lines
    ]
    return json.dumps(rows, separators=(",", ":"))


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
