"""Scenes about invoices that were wrong: two people set them right, and Stripe's books follow."""

from billing.charges import Charge, charge_office
from billing.corrections import SecondPersonNeeded, Wish, approve_correction, request_correction
from billing.models import (
    ChargeReason,
    Correction,
    CorrectionKind,
    CorrectionReason,
    CorrectionStatus,
    Invoice,
    InvoiceStatus,
    PaybackChannel,
)
from billing.payment_state import PaymentState, money_of
from sandbox.demo.patient_scenes import STAFF
from sandbox.demo.stage import Stage

COLLEAGUE = "demo:colleague"
OFFICE = "clinic-014"


def invoice_is_replaced(stage: Stage) -> None:
    """An invoice is issued anew, and the new one is paid by check: each time one person asks and another decides."""
    first = _sent(stage, 4_000)
    alone = False
    wish = Wish(CorrectionKind.REPLACE, CorrectionReason.BILLED_IN_ERROR)
    asked = _ask(stage, first, wish)
    try:
        approve_correction(correction_id=asked.pk, actor=STAFF, now=stage.now)
    except SecondPersonNeeded:
        alone = True
    _decide(stage, asked)
    second = Invoice.objects.defer("internal_note").get(replaces=first)
    stage.deliver()
    paid = Wish(CorrectionKind.OFFLINE_PAYMENT, CorrectionReason.PAID_BY_CHECK, second.total_cents)
    done = _correct(stage, _now(second), paid)
    held = [stage.standin.get("invoice", str(_now(each).stripe_invoice_id))["status"] for each in (first, second)]
    stage.tell(f"{OFFICE}: an invoice is replaced, and the new one paid by check; nobody may decide alone.")
    stage.expect("who asks for a correction cannot approve it", holds=alone)
    stage.expect(
        "a replaced invoice is void at Stripe, its replacement paid by check",
        holds=done and held == ["void", "paid"] and _now(second).status == InvoiceStatus.PAID,
    )


def invoice_is_credited(stage: Stage) -> None:
    """A paid invoice was too high: a part goes back through Stripe, nothing stays as a balance."""
    invoice = _sent(stage, 9_000)
    stage.standin.dashboard.pay_invoice(str(invoice.stripe_invoice_id))
    stage.hear()
    credit = Wish(CorrectionKind.CREDIT, CorrectionReason.WRONG_PRICE, 3_000, PaybackChannel.STRIPE)
    done = _correct(stage, _now(invoice), credit)
    money = money_of([_now(invoice)])[invoice.pk]
    stage.tell(f"{OFFICE}: of 90.00 paid, 30.00 go back with a credit note.")
    stage.expect(
        "a credit note gives back what it says, and no more",
        holds=done and (money.kept, money.state) == (6_000, PaymentState.PARTIALLY_REFUNDED),
    )


def invoice_is_written_off(stage: Stage) -> None:
    """A claim is given up."""
    invoice = _sent(stage, 1_500)
    done = _correct(stage, invoice, Wish(CorrectionKind.WRITE_OFF, CorrectionReason.UNCOLLECTIBLE))
    money = money_of([_now(invoice)])[invoice.pk]
    stage.tell(f"{OFFICE}: 15.00 are written off.")
    stage.expect(
        "a written-off invoice is due no more", holds=done and (money.due, money.state) == (0, PaymentState.WRITTEN_OFF)
    )


def _sent(stage: Stage, amount_cents: int) -> Invoice:
    charge = Charge(ChargeReason.CUSTOM_REPORT, amount_cents)
    invoice = charge_office(office_id=stage.office(OFFICE).pk, charge=charge, actor=STAFF, now=stage.now)
    stage.deliver()
    return _now(invoice)


def _correct(stage: Stage, invoice: Invoice, wish: Wish) -> bool:
    return _decide(stage, _ask(stage, invoice, wish))


def _ask(stage: Stage, invoice: Invoice, wish: Wish) -> Correction:
    return request_correction(
        invoice_id=invoice.pk, wish=wish, seen_version=invoice.version, actor=STAFF, now=stage.now
    )


def _decide(stage: Stage, correction: Correction) -> bool:
    """Let the colleague approve, deliver, and say whether it is done."""
    approve_correction(correction_id=correction.pk, actor=COLLEAGUE, now=stage.now)
    stage.deliver()
    return Correction.objects.filter(pk=correction.pk, status=CorrectionStatus.DONE).exists()


def _now(invoice: Invoice) -> Invoice:
    return Invoice.objects.defer("internal_note").get(pk=invoice.pk)
