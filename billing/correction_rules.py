"""Which correction fits which invoice: asked at the request, at the approval, and again just before it is sent.

Decided from our books alone; delivery brings them to Stripe's state first. Each refusal has a code, which is also the
outcome of a correction that Stripe's own news has overtaken.
"""

from collections.abc import Callable

from billing.expectations import CREDIT_REASON_OF
from billing.models import (
    Correction,
    CorrectionKind,
    CorrectionReason,
    CorrectionStatus,
    DroppedLine,
    Invoice,
    InvoiceStatus,
    PaybackChannel,
)
from billing.payment_state import InvoiceMoney
from billing.payment_status import month_is_locked
from offices.models import CollectionMethod

_UNPAID = frozenset({InvoiceStatus.SENT, InvoiceStatus.FAILED})
_NOT_AT_STRIPE_YET = frozenset({InvoiceStatus.DRAFT})

# What may be done in which status; everything else is refused (product.md, "Invoice life").
ALLOWED_IN: dict[CorrectionKind, frozenset[InvoiceStatus]] = {
    CorrectionKind.CANCEL: _UNPAID | _NOT_AT_STRIPE_YET,
    CorrectionKind.REPLACE: _UNPAID | _NOT_AT_STRIPE_YET,
    CorrectionKind.CREDIT: _UNPAID | {InvoiceStatus.PAID},
    CorrectionKind.WRITE_OFF: _UNPAID,
    CorrectionKind.OFFLINE_PAYMENT: _UNPAID,
    CorrectionKind.RETRY: frozenset({InvoiceStatus.FAILED}),
}
_WRONG = frozenset(
    {
        CorrectionReason.DUPLICATE,
        CorrectionReason.BILLED_IN_ERROR,
        CorrectionReason.WRONG_PRICE,
        CorrectionReason.SERVICE_ISSUE,
        CorrectionReason.GOODWILL,
        CorrectionReason.FRAUD,
    }
)
REASONS_OF: dict[CorrectionKind, frozenset[CorrectionReason]] = {
    CorrectionKind.CANCEL: _WRONG,
    CorrectionKind.REPLACE: _WRONG,
    CorrectionKind.CREDIT: frozenset(CREDIT_REASON_OF),
    CorrectionKind.WRITE_OFF: frozenset(
        {CorrectionReason.UNCOLLECTIBLE, CorrectionReason.GOODWILL, CorrectionReason.FRAUD}
    ),
    CorrectionKind.OFFLINE_PAYMENT: frozenset({CorrectionReason.PAID_BY_CHECK, CorrectionReason.PAID_BY_WIRE}),
    CorrectionKind.RETRY: frozenset({CorrectionReason.PAYMENT_RETRY}),
}
_TAKES_AMOUNT = frozenset({CorrectionKind.CREDIT, CorrectionKind.OFFLINE_PAYMENT})


class CorrectionRefused(Exception):
    """The correction does not fit the invoice as it stands; `code` says why."""

    code = "correction_refused"


class StatusBars(CorrectionRefused):
    """The invoice's status does not allow this kind: a paid one is credited, a canceled one is an end."""

    def __init__(self, kind: CorrectionKind, status: InvoiceStatus) -> None:
        super().__init__(f"an invoice that is {status} takes no {kind}")
        self.code = f"invoice_{status}"


class InvoiceChanged(CorrectionRefused):
    """The invoice is not as the person saw it: look again, and ask again."""

    code = "invoice_changed"


class InvoiceNotClosed(CorrectionRefused):
    """The month is still open: its lines may change by themselves, and nothing of it was sent."""

    code = "invoice_not_closed"


class InvoiceWrittenOff(CorrectionRefused):
    """The claim was given up; what is left is to cancel the invoice or to take a late payment."""

    code = "invoice_written_off"


class PaymentUnderWay(CorrectionRefused):
    """A bank debit is on its way: wait until it has arrived or failed, a few days at most."""

    code = "payment_under_way"


class MonthLocked(CorrectionRefused):
    """Two people have signed the month: what was wrong in it is credited, not canceled (decisions.md 41)."""

    code = "month_locked"


class PartlyPaid(CorrectionRefused):
    """A part is paid: a canceled invoice would keep that money without a claim. Credit the rest instead."""

    code = "partly_paid"


class InvoiceCredited(CorrectionRefused):
    """The invoice was credited: a replacement would charge what was credited a second time."""

    code = "invoice_credited"


class ReasonDoesNotFit(CorrectionRefused):
    """The reason is none of this kind's (`REASONS_OF`)."""

    code = "reason_does_not_fit"


class AmountMissing(CorrectionRefused):
    """A credit and an offline payment say how much, in cents above zero."""

    code = "amount_missing"


class AmountNotTaken(CorrectionRefused):
    """This kind is about the whole invoice: it takes no amount, no payback and no lines."""

    code = "amount_not_taken"


class AmountTooHigh(CorrectionRefused):
    """More than is due, or of a paid invoice more than was paid and has not gone back."""

    code = "amount_too_high"


class AmountNotWhole(CorrectionRefused):
    """Stripe marks an invoice as paid as a whole: record the check or the wire when all of it has come in."""

    code = "amount_not_whole"


class PaybackMissing(CorrectionRefused):
    """Of a paid invoice: say whether the money goes back through Stripe or past it, never as a balance."""

    code = "payback_missing"


class PaybackNotDue(CorrectionRefused):
    """Nothing was paid yet: a credit lowers what is due, and no money goes back."""

    code = "payback_not_due"


class NotPaidThroughStripe(CorrectionRefused):
    """Stripe can give back only what came in through Stripe: give the rest back out of band."""

    code = "not_paid_through_stripe"


class NotChargedAutomatically(CorrectionRefused):
    """The office pays by mailed invoice: there is no payment method that could be tried again."""

    code = "not_charged_automatically"


def check_fits(correction: Correction, invoice: Invoice, money: InvoiceMoney) -> None:
    """Raise the CorrectionRefused that says why this correction is not possible now."""
    kind, status = CorrectionKind(correction.kind), InvoiceStatus(invoice.status)
    if invoice.closed_at is None:
        raise InvoiceNotClosed("the invoice is not closed yet")
    if status not in ALLOWED_IN[kind]:
        raise StatusBars(kind, status)
    _check_shape(correction, kind)
    if money.processing and status != InvoiceStatus.PAID:
        raise PaymentUnderWay("a payment of this invoice is under way")
    _CHECKS[kind](correction, invoice, money)


def _check_shape(correction: Correction, kind: CorrectionKind) -> None:
    """Raise when a correction of this kind cannot be asked for in this way, whatever the invoice."""
    if correction.reason not in REASONS_OF[kind]:
        raise ReasonDoesNotFit(f"{correction.reason} is no reason for {kind}")
    if kind not in _TAKES_AMOUNT and correction.amount_cents is not None:
        raise AmountNotTaken("this kind is about the whole invoice")
    if kind != CorrectionKind.CREDIT and correction.payback:
        raise AmountNotTaken("only a credit is paid back")
    if kind in _TAKES_AMOUNT and (correction.amount_cents or 0) <= 0:
        raise AmountMissing("say how much, in cents above zero")


def offered_credit_cents(correction: Correction) -> int:
    """Return the credit to offer when the invoice was paid before it could be canceled: all, or what was dropped."""
    kind = CorrectionKind(correction.kind)
    too_late = correction.status == CorrectionStatus.OVERTAKEN and correction.outcome == "invoice_paid"
    if not too_late or kind not in {CorrectionKind.CANCEL, CorrectionKind.REPLACE}:
        return 0
    if kind == CorrectionKind.CANCEL:
        return correction.invoice.total_cents or 0
    dropped = DroppedLine.objects.filter(correction=correction).select_related("line_item")
    return max(sum(each.line_item.quantity * each.line_item.unit_price_cents for each in dropped), 0)


def _check_cancel(correction: Correction, invoice: Invoice, money: InvoiceMoney) -> None:
    if month_is_locked(invoice):
        raise MonthLocked("the month is signed and locked")
    if money.paid:
        raise PartlyPaid("a part of the invoice is paid")
    if correction.kind == CorrectionKind.REPLACE and money.credited:
        raise InvoiceCredited("the invoice was credited")


def _check_credit(correction: Correction, invoice: Invoice, money: InvoiceMoney) -> None:
    amount = correction.amount_cents or 0
    if invoice.status != InvoiceStatus.PAID:
        _check_not_written_off(correction, invoice, money)
        if correction.payback:
            raise PaybackNotDue("nothing was paid yet")
        if amount > money.due:
            raise AmountTooHigh(f"{money.due} cents are due")
        return
    if amount > money.to_give_back:
        raise AmountTooHigh(f"{money.to_give_back} cents were paid and have not gone back")
    if not correction.payback:
        raise PaybackMissing("say how the money goes back")
    if correction.payback == PaybackChannel.STRIPE and amount > money.refundable:
        raise NotPaidThroughStripe(f"{money.refundable} cents can go back through Stripe")


def _check_not_written_off(_correction: Correction, _invoice: Invoice, money: InvoiceMoney) -> None:
    if money.written_off:
        raise InvoiceWrittenOff("the invoice was written off")


def _check_offline(correction: Correction, _invoice: Invoice, money: InvoiceMoney) -> None:
    if correction.amount_cents != money.outstanding:
        raise AmountNotWhole(f"the whole open amount is {money.outstanding} cents")


def _check_retry(correction: Correction, invoice: Invoice, money: InvoiceMoney) -> None:
    _check_not_written_off(correction, invoice, money)
    if invoice.collection_method != CollectionMethod.CHARGE_AUTOMATICALLY:
        raise NotChargedAutomatically("the office pays by mailed invoice")


_CHECKS: dict[CorrectionKind, Callable[[Correction, Invoice, InvoiceMoney], None]] = {
    CorrectionKind.CANCEL: _check_cancel,
    CorrectionKind.REPLACE: _check_cancel,
    CorrectionKind.CREDIT: _check_credit,
    CorrectionKind.WRITE_OFF: _check_not_written_off,
    CorrectionKind.OFFLINE_PAYMENT: _check_offline,
    CorrectionKind.RETRY: _check_retry,
}
