"""What a test of corrections needs: an invoice in each state it may be in, and two people."""

from typing import Any

from billing.charges import Charge, charge_office
from billing.corrections import Wish, approve_correction, request_correction
from billing.models import ChargeReason, Correction, CorrectionKind, CorrectionReason, Invoice, PaybackChannel
from tests.billing.scenes import TOTAL_CENTS, close_month, delivered, drain, due_office, hear
from tests.builders import ACTOR, make_office

ANN, BOB = "ann", "bob"  # one asks, the other decides

REASON = {
    CorrectionKind.CANCEL: CorrectionReason.BILLED_IN_ERROR,
    CorrectionKind.REPLACE: CorrectionReason.BILLED_IN_ERROR,
    CorrectionKind.CREDIT: CorrectionReason.GOODWILL,
    CorrectionKind.WRITE_OFF: CorrectionReason.UNCOLLECTIBLE,
    CorrectionKind.OFFLINE_PAYMENT: CorrectionReason.PAID_BY_CHECK,
    CorrectionKind.RETRY: CorrectionReason.PAYMENT_RETRY,
}


def wish(kind: CorrectionKind, **changes: Any) -> Wish:
    """Ask for the plain thing of a kind: 100 cents of credit, the whole amount of an offline payment."""
    amounts = {CorrectionKind.CREDIT: 100, CorrectionKind.OFFLINE_PAYMENT: TOTAL_CENTS}
    return Wish(**{"kind": kind, "reason": REASON[kind], "amount_cents": amounts.get(kind)} | changes)


def ask(invoice: Invoice, what: Wish | CorrectionKind, *, now, actor: str = ANN) -> Correction:
    """Request as somebody who sees the invoice as it is now."""
    what = what if isinstance(what, Wish) else wish(what)
    seen = Invoice.objects.values_list("version", flat=True).get(pk=invoice.pk)
    return request_correction(invoice_id=invoice.pk, wish=what, seen_version=seen, actor=actor, now=now)


def agreed(invoice: Invoice, what: Wish | CorrectionKind, *, now) -> Correction:
    """Request by one, approved by the other (a retry needs no other)."""
    correction = ask(invoice, what, now=now)
    if correction.kind == CorrectionKind.RETRY:
        return correction
    return approve_correction(correction_id=correction.pk, actor=BOB, now=now)


def corrected(invoice: Invoice, what: Wish | CorrectionKind, clock) -> Correction:
    """Agree and deliver; return the correction as it ended."""
    correction = agreed(invoice, what, now=clock.at)
    drain(clock)
    correction.refresh_from_db()
    invoice.refresh_from_db()
    return correction


def paid_back(channel: PaybackChannel = PaybackChannel.STRIPE, amount: int = 100) -> Wish:
    """Ask for a credit on a paid invoice."""
    return wish(CorrectionKind.CREDIT, payback=channel, amount_cents=amount)


class States:
    """An invoice of 400 cents in each state of its life; Stripe and our books agree."""

    def __init__(self, stripe, clock) -> None:
        self.stripe, self.clock = stripe, clock

    def open_month(self) -> Invoice:
        return Invoice.objects.get(office=due_office(), closed_at__isnull=True)

    def unsent(self) -> Invoice:
        return close_month()

    def sent(self, **fields: Any) -> Invoice:
        return delivered(self.stripe, self.clock, **fields)[0]

    def failed(self) -> Invoice:
        self.stripe.dashboard.set_card("declined")
        invoice = self._heard(self.sent(collection_method="charge_automatically"))
        assert invoice.status == "failed"
        return invoice

    def processing(self) -> Invoice:
        invoice = self.sent()
        self.stripe.dashboard.start_processing(invoice.stripe_invoice_id)
        return self._heard(invoice)

    def partly_paid(self) -> Invoice:
        invoice = self.sent()
        self.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, 150)
        return self._heard(invoice)

    def written_off(self) -> Invoice:
        invoice = self.sent()
        self.stripe.dashboard.mark_uncollectible(invoice.stripe_invoice_id)
        return self._heard(invoice)

    def paid(self) -> Invoice:
        invoice = self.sent()
        self.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
        return self._heard(invoice)

    def paid_by_check(self) -> Invoice:
        invoice = self.sent()
        self.stripe.dashboard.pay_out_of_band(invoice.stripe_invoice_id)
        return self._heard(invoice)

    def canceled(self) -> Invoice:
        invoice = self.sent()
        self.stripe.dashboard.void(invoice.stripe_invoice_id)
        return self._heard(invoice)

    def settled_at_zero(self) -> Invoice:
        charge = Charge(ChargeReason.TRAINING, 0)
        return charge_office(office_id=make_office().pk, charge=charge, actor=ACTOR, now=self.clock.at)

    def _heard(self, invoice: Invoice) -> Invoice:
        hear(self.stripe, self.clock)
        invoice.refresh_from_db()
        return invoice
