"""Where the money of an invoice is: derived from the sums of its rows, never stored (product.md, "Money at Stripe").

The status says what became of the document; this says what became of the money. Cents.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.db.models import Count, Q, Sum

from billing.models import (
    DISPUTES_OPEN,
    REFUNDS_OUT,
    CreditNote,
    CreditNoteStatus,
    Dispute,
    DisputeStatus,
    Invoice,
    InvoiceStatus,
    Payment,
    PaymentChannel,
    PaymentStatus,
    Refund,
)


class PaymentState(StrEnum):
    """What became of the money of an invoice; the first that fits, from top to bottom."""

    NOTHING_DUE = "nothing_due"
    CANCELED = "canceled"
    DISPUTED = "disputed"
    CHARGED_BACK = "charged_back"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    OVERPAID = "overpaid"
    PAID = "paid"
    CREDITED = "credited"
    PROCESSING = "processing"
    PARTIALLY_PAID = "partially_paid"
    WRITTEN_OFF = "written_off"
    FAILED = "failed"
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class InvoiceMoney:
    """The sums of one invoice, in cents. `credited` lowered what was due; `given_back` includes out-of-band credits.

    The parts that went past Stripe stand beside: `paid_outside` by check or wire, `given_back_outside` by ourselves.
    """

    total: int
    status: InvoiceStatus
    written_off: bool
    overpaid: int = 0
    paid: int = 0
    processing: bool = False
    given_back: int = 0
    credited: int = 0
    disputed: int = 0
    charged_back: int = 0
    paid_outside: int = 0
    given_back_outside: int = 0

    @property
    def outstanding(self) -> int:
        """What neither a payment nor a credit has covered, whatever became of the claim."""
        return max(self.total - self.credited - self.paid, 0)

    @property
    def due(self) -> int:
        """What is still owed: nothing once canceled or written off."""
        if self.status == InvoiceStatus.CANCELED or self.written_off:
            return 0
        return self.outstanding

    @property
    def kept(self) -> int:
        """What has come in and stayed."""
        return self.paid + self.overpaid - self.given_back - self.charged_back

    @property
    def to_give_back(self) -> int:
        """What was paid on the invoice, is still here and is not contested."""
        return min(self.paid, max(self.kept - self.disputed, 0))

    @property
    def refundable(self) -> int:
        """The part of it that came in through Stripe, and so can go back through Stripe."""
        outside = self.paid_outside - self.given_back_outside
        return min(self.to_give_back, max(self.kept - self.disputed - outside, 0))

    @property
    def state(self) -> PaymentState:
        """Return what became of the money."""
        return next(state for state, fits in self._fits() if fits)

    def _fits(self) -> Iterable[tuple[PaymentState, bool]]:
        settled = self.paid + self.credited >= self.total
        yield PaymentState.NOTHING_DUE, self.total == 0
        yield PaymentState.CANCELED, self.status == InvoiceStatus.CANCELED and not self.kept
        yield PaymentState.DISPUTED, self.disputed > 0
        yield PaymentState.CHARGED_BACK, self.charged_back > 0
        yield PaymentState.REFUNDED, 0 < self.paid + self.overpaid <= self.given_back
        yield PaymentState.PARTIALLY_REFUNDED, self.given_back > 0
        yield PaymentState.OVERPAID, self.overpaid > 0
        yield PaymentState.PAID, settled and self.paid > 0
        yield PaymentState.CREDITED, settled
        yield PaymentState.PROCESSING, self.processing
        yield PaymentState.PARTIALLY_PAID, self.paid > 0
        yield PaymentState.WRITTEN_OFF, self.written_off
        yield PaymentState.FAILED, self.status == InvoiceStatus.FAILED
        yield PaymentState.UNPAID, True


def money_of(invoices: Iterable[Invoice]) -> dict[UUID, InvoiceMoney]:
    """Return the sums of closed invoices, in four queries however many they are."""
    rows = list(invoices)
    sums = _Sums([invoice.pk for invoice in rows])
    return {invoice.pk: sums.of(invoice) for invoice in rows}


class _Sums:
    """The money rows of some invoices, added up by invoice."""

    def __init__(self, ids: list[UUID]) -> None:
        payments = Payment.objects.filter(invoice__in=ids).values("invoice")
        refunds = Refund.objects.filter(invoice__in=ids, status__in=REFUNDS_OUT).values("invoice")
        notes = CreditNote.objects.filter(invoice__in=ids, status=CreditNoteStatus.ISSUED).values("invoice")
        disputes = Dispute.objects.filter(invoice__in=ids).values("invoice")
        settled = Q(status=PaymentStatus.PAID)
        self._payments = _by_invoice(
            payments.annotate(
                paid=Sum("amount_paid_cents", filter=settled),
                outside=Sum("amount_paid_cents", filter=settled & Q(channel=PaymentChannel.OUT_OF_BAND)),
                processing=Count("pk", filter=Q(processing=True)),
            )
        )
        self._refunds = _by_invoice(refunds.annotate(sum=Sum("amount_cents")))
        self._notes = _by_invoice(notes.annotate(before=Sum("before_payment_cents"), outside=Sum("out_of_band_cents")))
        self._disputes = _by_invoice(
            disputes.annotate(
                open=Sum("amount_cents", filter=Q(status__in=DISPUTES_OPEN)),
                lost=Sum("amount_cents", filter=Q(status=DisputeStatus.LOST)),
            )
        )

    def of(self, invoice: Invoice) -> InvoiceMoney:
        return InvoiceMoney(
            total=invoice.total_cents or 0,
            status=InvoiceStatus(invoice.status),
            written_off=invoice.written_off_at is not None and invoice.status == InvoiceStatus.FAILED,
            overpaid=invoice.overpaid_cents,
            paid=_of(self._payments, invoice, "paid"),
            processing=bool(_of(self._payments, invoice, "processing")),
            given_back=_of(self._refunds, invoice, "sum") + _of(self._notes, invoice, "outside"),
            credited=_of(self._notes, invoice, "before"),
            disputed=_of(self._disputes, invoice, "open"),
            charged_back=_of(self._disputes, invoice, "lost"),
            paid_outside=_of(self._payments, invoice, "outside"),
            given_back_outside=_of(self._notes, invoice, "outside"),
        )


def _by_invoice(rows: Iterable[Mapping[str, object]]) -> dict[object, Mapping[str, object]]:
    return {row["invoice"]: row for row in rows}


def _of(sums: Mapping[object, Mapping[str, object]], invoice: Invoice, name: str) -> int:
    value = sums.get(invoice.pk, {}).get(name)
    return value if isinstance(value, int) else 0
