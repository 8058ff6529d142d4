"""What became of an invoice's money, derived from its rows: every state can be reached, and the sums add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoice_pull import pull_invoice
from billing.models import Invoice, InvoiceStatus
from billing.payment_state import InvoiceMoney, PaymentState, money_of
from tests.billing.correction_scenes import States
from tests.billing.scenes import CLOSED_AT, SharedClock

S, P = InvoiceStatus, PaymentState


def of(status: InvoiceStatus, total: int = 400, **sums) -> InvoiceMoney:
    return InvoiceMoney(total=total, status=status, **({"written_off": False} | sums))


TABLE = [
    (of(S.PAID, total=0), P.NOTHING_DUE, 0, 0),
    (of(S.CANCELED), P.CANCELED, 0, 0),
    (of(S.CANCELED, paid=400), P.PAID, 0, 400),  # money on an invoice that is owed no more: visible as paid
    (of(S.PAID, paid=400, disputed=400), P.DISPUTED, 0, 400),
    (of(S.PAID, paid=400, charged_back=400), P.CHARGED_BACK, 0, 0),
    (of(S.PAID, paid=400, given_back=400), P.REFUNDED, 0, 0),
    (of(S.PAID, paid=400, given_back=150), P.PARTIALLY_REFUNDED, 0, 250),
    (of(S.PAID, paid=400, overpaid=100), P.OVERPAID, 0, 500),
    (of(S.PAID, paid=400, overpaid=100, given_back=100), P.PARTIALLY_REFUNDED, 0, 400),
    (of(S.PAID, paid=400), P.PAID, 0, 400),
    (of(S.PAID, paid=300, credited=100), P.PAID, 0, 300),
    (of(S.PAID, credited=400), P.CREDITED, 0, 0),
    (of(S.SENT, processing=True), P.PROCESSING, 400, 0),
    (of(S.SENT, paid=150), P.PARTIALLY_PAID, 250, 150),
    (of(S.SENT, paid=150, credited=50), P.PARTIALLY_PAID, 200, 150),
    (of(S.FAILED, written_off=True), P.WRITTEN_OFF, 0, 0),
    (of(S.FAILED), P.FAILED, 400, 0),
    (of(S.SENT), P.UNPAID, 400, 0),
    (of(S.SENT, credited=100), P.UNPAID, 300, 0),
]


@pytest.mark.parametrize(("money", "state", "due", "kept"), TABLE)
def test_the_state_what_is_due_and_what_stayed_follow_from_the_sums(money, state, due, kept):
    assert (money.state, money.due, money.kept) == (state, due, kept)


def test_the_table_reaches_every_state():
    assert {state for _, state, _, _ in TABLE} == set(PaymentState)


@pytest.mark.parametrize(
    ("money", "to_give_back", "refundable"),
    [
        (of(S.PAID, paid=400), 400, 400),
        (of(S.PAID, paid=400, paid_outside=400), 400, 0),
        (of(S.PAID, paid=400, paid_outside=150), 400, 250),
        (of(S.PAID, paid=400, given_back=150), 250, 250),
        (of(S.PAID, paid=400, paid_outside=150, given_back=150, given_back_outside=150), 250, 250),
        (of(S.PAID, paid=400, disputed=400), 0, 0),
        (of(S.PAID, paid=400, charged_back=100), 300, 300),
        (of(S.PAID, paid=400, overpaid=100, given_back=100), 400, 400),
        (of(S.PAID, credited=400), 0, 0),
    ],
)
def test_what_can_go_back_is_what_came_in_and_is_still_here(money, to_give_back, refundable):
    assert (money.to_give_back, money.refundable) == (to_give_back, refundable)


cents = st.integers(0, 1000)


@given(
    total=st.integers(1, 1000),
    status=st.sampled_from(S),
    written_off=st.booleans(),
    parts=st.fixed_dictionaries(
        dict.fromkeys(("overpaid", "paid", "given_back", "credited", "disputed", "charged_back"), cents)
    ),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_sums_add_up_whatever_the_rows_say(total, status, written_off, parts, shares):
    outside = {
        "paid_outside": int(parts["paid"] * shares[0]),
        "given_back_outside": int(parts["given_back"] * shares[1]),
    }
    money = InvoiceMoney(total=total, status=status, written_off=written_off, **parts, **outside)

    assert money.state in PaymentState
    assert 0 <= money.due <= money.outstanding <= total
    covered = min(money.paid + money.credited, total)
    assert money.outstanding + covered == total
    assert money.kept == money.paid + money.overpaid - money.given_back - money.charged_back
    assert 0 <= money.refundable <= money.to_give_back <= money.paid
    if money.state == P.UNPAID:
        assert money.paid == 0
    if money.state == P.PAID:
        assert money.outstanding == 0


# --- The rows that the sums are taken from ---
REACHED = {
    "sent": (P.UNPAID, 400),
    "failed": (P.FAILED, 400),
    "processing": (P.PROCESSING, 400),
    "partly_paid": (P.PARTIALLY_PAID, 250),
    "written_off": (P.WRITTEN_OFF, 0),
    "paid": (P.PAID, 0),
    "paid_by_check": (P.PAID, 0),
    "canceled": (P.CANCELED, 0),
    "settled_at_zero": (P.NOTHING_DUE, 0),
    "unsent": (P.UNPAID, 400),
}


@pytest.mark.django_db
@pytest.mark.parametrize("state", REACHED)
def test_the_rows_from_stripe_give_the_state(stripe, state):
    invoice = getattr(States(stripe, SharedClock(CLOSED_AT, stripe)), state)()
    money = money_of([invoice])[invoice.pk]
    assert (money.state, money.due) == REACHED[state]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("act", "state", "kept"),
    [
        (lambda d, it: d.refund(it, 150), P.PARTIALLY_REFUNDED, 250),
        (lambda d, it: d.refund(it), P.REFUNDED, 0),
        (lambda d, it: d.fail_refund(d.refund(it)["id"]), P.PAID, 400),
        (lambda d, it: d.dispute(it), P.DISPUTED, 400),
        (lambda d, it: d.close_dispute(d.dispute(it)["id"], won=False), P.CHARGED_BACK, 0),
        (lambda d, it: d.close_dispute(d.dispute(it)["id"], won=True), P.PAID, 400),
        (lambda d, it: d.credit(it, 150, out_of_band_amount=150), P.PARTIALLY_REFUNDED, 250),
        (lambda d, it: d.credit(it, 150, refund_amount=150), P.PARTIALLY_REFUNDED, 250),
    ],
)
def test_what_happens_after_the_payment_shows_in_the_state(stripe, act, state, kept):
    clock = SharedClock(CLOSED_AT, stripe)
    invoice = States(stripe, clock).paid()
    act(stripe.dashboard, invoice.stripe_invoice_id)
    for _ in range(2):  # a second look changes nothing
        pull_invoice(Invoice.objects.get(pk=invoice.pk), actor="test", clock=clock, money_back=True)
    money = money_of([invoice])[invoice.pk]
    assert (money.state, money.kept) == (state, kept)


@pytest.mark.django_db
def test_more_than_was_due_is_overpaid(stripe):
    clock = SharedClock(CLOSED_AT, stripe)
    invoice = States(stripe, clock).sent()
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, 500)
    pull_invoice(Invoice.objects.get(pk=invoice.pk), actor="test", clock=clock)
    invoice.refresh_from_db()
    money = money_of([invoice])[invoice.pk]
    assert (money.state, money.overpaid, money.due) == (P.OVERPAID, 100, 0)
    assert money.kept == 500


@pytest.mark.django_db
def test_the_sums_of_many_invoices_take_four_queries(stripe, django_assert_num_queries):
    states = States(stripe, SharedClock(CLOSED_AT, stripe))
    invoices = [states.paid(), states.sent(), states.unsent()]
    with django_assert_num_queries(4):
        assert len(money_of(invoices)) == 3
