"""What may be asked for of an invoice now, and why the rest may not: for people to choose from.

Nothing is locked here, so nothing is promised: `request_correction` decides again under the lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.correction_rules import REASONS_OF, CorrectionRefused, check_fits
from billing.corrections import CorrectionOpen, DeliveryUnderWay
from billing.models import OPEN_CORRECTIONS, Correction, CorrectionKind, Invoice, InvoiceStatus, PaybackChannel
from billing.outbox import is_unsent
from billing.payment_state import InvoiceMoney, money_of


@dataclass(frozen=True, slots=True)
class Offers:
    """The money of an invoice; of each kind of correction why it is refused, or None when it may be asked for."""

    money: InvoiceMoney
    refusals: Mapping[CorrectionKind, CorrectionRefused | None]

    def allows(self, kind: CorrectionKind) -> bool:
        """Tell whether this kind may be asked for."""
        return self.refusals[kind] is None


def correction_offers(invoice: Invoice) -> Offers:
    """Judge every kind in the smallest form that this invoice could take, in about ten queries."""
    money = money_of([invoice])[invoice.pk]
    standing = _standing(invoice)
    return Offers(money, {kind: standing or _refusal(kind, invoice, money) for kind in CorrectionKind})


def refusals_of(kind: CorrectionKind, invoices: Sequence[Invoice]) -> dict[UUID, CorrectionRefused | None]:
    """Judge one kind for several closed invoices, in five queries: why each is refused, or None."""
    money = money_of(invoices)
    open_ones = Correction.objects.filter(invoice__in=[each.pk for each in invoices], status__in=OPEN_CORRECTIONS)
    corrected = set(open_ones.values_list("invoice", flat=True))
    return {each.pk: _open() if each.pk in corrected else _refusal(kind, each, money[each.pk]) for each in invoices}


def _open() -> CorrectionOpen:
    return CorrectionOpen("another correction of this invoice is open")


def _standing(invoice: Invoice) -> CorrectionRefused | None:
    """Return what refuses every kind alike."""
    if Correction.objects.filter(invoice=invoice, status__in=OPEN_CORRECTIONS).exists():
        return _open()
    if invoice.closed_at is not None and invoice.status == InvoiceStatus.DRAFT and not is_unsent(invoice):
        return DeliveryUnderWay("the invoice is on its way to Stripe")
    return None


def _refusal(kind: CorrectionKind, invoice: Invoice, money: InvoiceMoney) -> CorrectionRefused | None:
    try:
        check_fits(_smallest(kind, invoice, money), invoice, money)
    except CorrectionRefused as refusal:
        return refusal
    return None


def _smallest(kind: CorrectionKind, invoice: Invoice, money: InvoiceMoney) -> Correction:
    """Return a correction, never saved, that fits if any of its kind does."""
    amounts = {CorrectionKind.CREDIT: 1, CorrectionKind.OFFLINE_PAYMENT: money.outstanding}
    paid_back = kind == CorrectionKind.CREDIT and invoice.status == InvoiceStatus.PAID
    return Correction(
        invoice=invoice,
        kind=kind,
        reason=min(REASONS_OF[kind]),
        amount_cents=amounts.get(kind),
        payback=PaybackChannel.OUT_OF_BAND if paid_back else "",
    )
