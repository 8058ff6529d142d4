"""What the ledger expects of a request about money that someone shows us: corrections, payments, refunds, lists.

The counterpart of `scan_ledger.py` for reconciliation and corrections: a window must be that of a run of ours, an id
must stand on a row of ours, a page must follow an object that we have seen.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from billing import expectations
from billing.models import (
    Correction,
    CorrectionKind,
    CorrectionStatus,
    CreditNote,
    Dispute,
    EventReplay,
    Invoice,
    OutboxStep,
    Payment,
    ReconciliationRun,
    Refund,
    StripeEvent,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)
from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.operation import Operation

Variables = Mapping[str, str]
Expect = Callable[[Variables], Expectation | None]

# The rows that a window must be that of.
Windows = ReconciliationRun | EventReplay

_SECOND = timedelta(seconds=1)
# A decision that was made: what it says may be sent, before delivery and after.
_DECIDED = (CorrectionStatus.APPROVED, CorrectionStatus.DONE, CorrectionStatus.OVERTAKEN)


def _create_credit_note(variables: Variables) -> Expectation | None:
    correction = (
        Correction.objects.filter(
            pk=variables["metadata[credit_note_id]"], kind=CorrectionKind.CREDIT, status__in=_DECIDED
        )
        .select_related("invoice")
        .defer("note", "invoice__internal_note")
        .first()
    )
    if correction is None or not correction.invoice.stripe_invoice_id:
        return None
    return expectations.create_credit_note(correction, correction.invoice.stripe_invoice_id)


def _listed(operation: Operation, name: str) -> Expect:
    """Expect a list of a window of ours, or of what hangs on an object of ours."""

    def expect(variables: Variables) -> Expectation | None:
        after = variables.get("starting_after")
        if after is not None and not is_known(after):
            return None
        if name not in variables:
            return _window(operation, variables, after)
        known = is_known(variables[name])
        return expectations.listed_of(operation, name, variables[name], after) if known else None

    return expect


def _window(
    operation: Operation, variables: Variables, after: str | None, windows: type[Windows] = ReconciliationRun
) -> Expectation | None:
    start, end = int(variables["created[gte]"]), int(variables["created[lt]"])
    moments = [datetime.fromtimestamp(seconds, UTC) for seconds in (start, end)]
    ours = windows.objects.filter(
        window_from__gte=moments[0],
        window_from__lt=moments[0] + _SECOND,
        window_until__gte=moments[1],
        window_until__lt=moments[1] + _SECOND,
    )
    return expectations.created_within(operation, start, end, after) if ours.exists() else None


def _events(variables: Variables) -> Expectation | None:
    """Expect the events of a window that we asked for again."""
    after = variables.get("starting_after")
    if after is not None and not EventReplay.objects.filter(page_ends__contains=f" {after} ").exists():
        return None
    return _window(Operation.LIST_EVENTS, variables, after, EventReplay)


def _retrieved(operation: Operation, name: str) -> Expect:
    def expect(variables: Variables) -> Expectation | None:
        stripe_id = variables[name]
        return expectations.retrieve(operation, name, stripe_id) if is_known(stripe_id) else None

    return expect


def _invoice_payments(variables: Variables) -> Expectation | None:
    intent = variables.get("payment[payment_intent]")
    if intent is None:
        return _listed(Operation.LIST_INVOICE_PAYMENTS, "invoice")(variables)
    return expectations.payments_of_intent(intent) if is_known(intent) else None


def _pending_items(variables: Variables) -> Expectation | None:
    after = variables.get("starting_after")
    return None if after is not None and not is_known(after) else expectations.list_pending_items(after)


def is_known(stripe_id: str) -> bool:
    """Say whether a row of ours, or the inbox, holds this id of Stripe's."""
    return any(rows.exists() for rows in _holders(stripe_id))


def _holders(stripe_id: str) -> list[QuerySet]:  # type: ignore[type-arg]  # rows of different models
    found: Mapping[str, list[QuerySet]] = {  # type: ignore[type-arg]
        "in": [
            Invoice.objects.filter(stripe_invoice_id=stripe_id, closed_at__isnull=False),
            StripeInvoiceCopy.objects.filter(pk=stripe_id),
        ],
        "inpay": [Payment.objects.filter(stripe_payment_id=stripe_id)],
        "pi": [Payment.objects.filter(payment_intent_id=stripe_id)],
        "ch": [Payment.objects.filter(charge_id=stripe_id)],
        "py": [Payment.objects.filter(charge_id=stripe_id)],
        "re": [Refund.objects.filter(stripe_refund_id=stripe_id)],
        "pyr": [Refund.objects.filter(stripe_refund_id=stripe_id)],
        "dp": [Dispute.objects.filter(stripe_dispute_id=stripe_id)],
        "du": [Dispute.objects.filter(stripe_dispute_id=stripe_id)],
        "cn": [CreditNote.objects.filter(stripe_credit_note_id=stripe_id)],
        "ii": [OutboxStep.objects.filter(stripe_object_id=stripe_id)],
        "evt": [StripeEvent.objects.filter(pk=stripe_id)],
    }
    return [
        *found.get(stripe_id.partition("_")[0], []),
        StripeMoneyCopy.objects.filter(pk=stripe_id),
        StripeEvent.objects.filter(object_id=stripe_id),
    ]


MONEY_LEDGER: Mapping[Operation, Expect] = {
    Operation.CREATE_CREDIT_NOTE: _create_credit_note,
    Operation.LIST_CREDIT_NOTES: _listed(Operation.LIST_CREDIT_NOTES, "invoice"),
    Operation.RETRIEVE_CREDIT_NOTE: _retrieved(Operation.RETRIEVE_CREDIT_NOTE, "{credit_note}"),
    Operation.LIST_INVOICE_PAYMENTS: _invoice_payments,
    Operation.LIST_PENDING_ITEMS: _pending_items,
    Operation.RETRIEVE_PAYMENT_INTENT: _retrieved(Operation.RETRIEVE_PAYMENT_INTENT, "{payment_intent}"),
    Operation.RETRIEVE_CHARGE: _retrieved(Operation.RETRIEVE_CHARGE, "{charge}"),
    Operation.LIST_REFUNDS: _listed(Operation.LIST_REFUNDS, "payment_intent"),
    Operation.RETRIEVE_REFUND: _retrieved(Operation.RETRIEVE_REFUND, "{refund}"),
    Operation.LIST_DISPUTES: _listed(Operation.LIST_DISPUTES, "payment_intent"),
    Operation.RETRIEVE_DISPUTE: _retrieved(Operation.RETRIEVE_DISPUTE, "{dispute}"),
    Operation.LIST_EVENTS: _events,
}


def invoices_of_a_window(variables: Variables) -> Expectation | None:
    """Expect a list of all invoices made in a window of a run of ours."""
    after = variables.get("starting_after")
    return None if after is not None and not is_known(after) else _window(Operation.LIST_INVOICES, variables, after)


def decided(*kinds: CorrectionKind) -> Expect:
    """Expect the write of a correction of one of these kinds, if it was decided for this invoice."""

    def expect(variables: Variables) -> Expectation | None:
        stripe_id = variables["{invoice}"]
        ours = Correction.objects.filter(invoice__stripe_invoice_id=stripe_id, kind__in=kinds, status__in=_DECIDED)
        correction = ours.defer("note").first()
        return None if correction is None else expectations.correct(correction, stripe_id)

    return expect
