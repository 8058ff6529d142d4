"""Opening + billed - credited - paid - written off = closing, and the last closing is what is due by the rows."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing.models import CreditNote, Dispute, Invoice, Payment, Refund
from billing.payment_state import money_of
from billing.reconciliation.balance import Balance, balances
from tests.builders import make_office, utc

START = utc("2026-01-01")
days = st.integers(0, 120).map(lambda number: START + timedelta(days=number))
part = st.integers(0, 100)


@st.composite
def histories(draw) -> dict:
    total = draw(st.integers(1, 100_000))
    paid = total * draw(part) // 100
    credited = (total - paid) * draw(part) // 100
    status = draw(st.sampled_from(["sent", "failed", "canceled", "written_off", "paid"]))
    if status == "paid":
        paid = total - credited
    return {
        "total": total,
        "paid": paid,
        "credited": credited,
        "status": status,
        "refunded": paid * draw(part) // 100,
        "lost": paid * draw(part) // 100,
        "outside": draw(st.booleans()),
        "moments": [draw(days) for _ in range(6)],
    }


def write(office, history: dict) -> None:
    at = history["moments"]
    status = "failed" if history["status"] == "written_off" else history["status"]
    invoice = Invoice.objects.create(
        office=office, invoice_type="one_off", status=status, currency="USD", total_cents=history["total"],
        created_at=at[0], updated_at=at[0], closed_at=at[0], sent_at=at[0],
        canceled_at=at[5] if status == "canceled" else None,
        written_off_at=at[5] if history["status"] == "written_off" else None,
    )  # fmt: skip
    row = {"invoice": invoice, "currency": "USD", "recorded_at": at[1]}
    if history["paid"]:
        channel = {"channel": "out_of_band"} if history["outside"] else {"stripe_payment_id": f"inpay_{uuid4().hex}"}
        Payment.objects.create(
            **row, **channel, status="paid", amount_requested_cents=history["paid"],
            amount_paid_cents=history["paid"], paid_at=at[1],
        )  # fmt: skip
    if history["credited"]:
        CreditNote.objects.create(
            **row, id=uuid4(), stripe_credit_note_id=f"cn_{uuid4().hex}", status="issued",
            amount_cents=history["credited"], before_payment_cents=history["credited"], out_of_band_cents=0,
            issued_at=at[2],
        )  # fmt: skip
    if history["refunded"]:
        Refund.objects.create(
            **row, stripe_refund_id=f"re_{uuid4().hex}", status="succeeded", amount_cents=history["refunded"],
            refunded_at=at[3],
        )  # fmt: skip
    if history["lost"]:
        Dispute.objects.create(
            **row, stripe_dispute_id=f"dp_{uuid4().hex}", status="lost", amount_cents=history["lost"], opened_at=at[4]
        )


class Identity(TestCase):
    @given(st.lists(histories(), min_size=1, max_size=6))
    def test_the_balance_rolls_on_and_ends_at_what_is_due(self, told):
        office = make_office()
        for history in told:
            write(office, history)

        months = balances(office_id=office.pk)

        opening = 0
        for month in months:
            mine = month.ours
            assert mine.opening == opening
            assert mine.closing == mine.opening + mine.billed - mine.credited - mine.paid - mine.written_off
            opening = mine.closing
        due = sum(money.due for money in money_of(Invoice.objects.filter(office=office)).values())
        assert months[-1].ours.closing == due


def test_a_balance_of_nothing_is_nothing():
    assert Balance().closing == 0


def test_stripes_side_equals_ours_when_nothing_differs(scene):
    scene.stripe.dashboard.refund(scene.paid().stripe_invoice_id, amount=300)
    scene.focus = scene.offices[0]
    scene.stripe.dashboard.credit(scene.sent().stripe_invoice_id, 100)
    scene.focus = scene.offices[1]
    scene.stripe.dashboard.pay_out_of_band(scene.sent().stripe_invoice_id)
    scene.focus = scene.offices[2]
    scene.stripe.dashboard.mark_uncollectible(scene.sent().stripe_invoice_id)
    scene.reconcile(repair=True)
    assert scene.reconcile(repair=True).open == 0
    for about in (None, *(office.pk for office in scene.offices)):
        months = balances(office_id=about)
        assert [month.difference for month in months] == [0] * len(months)
        assert [month.ours for month in months] == [month.theirs for month in months]
        assert sum(month.ours.billed for month in months) > 0


@pytest.mark.parametrize("cents", [1, 250])
def test_a_difference_is_shown_in_its_month(scene, cents):
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, amount=cents)
    scene.reconcile()
    assert balances()[-1].difference == cents
    assert balances(office_id=invoice.office_id)[-1].difference == cents
    scene.reconcile(repair=True)
    assert balances()[-1].difference == 0
