"""What each correction does at Stripe, what becomes of it when Stripe was faster, and that faults double nothing."""

import json

import pytest

from billing import documents
from billing.correction_delivery import deliver_correction
from billing.correction_rules import offered_credit_cents
from billing.corrections import approve_correction
from billing.delivery import deliver_due
from billing.delivery_steps import lease_next
from billing.documents import DocumentUnreadable
from billing.models import (
    Correction,
    CorrectionKind,
    CorrectionStatus,
    CreditNote,
    Invoice,
    InvoiceStatus,
    MessageKind,
    MessageStatus,
    OutboundRequest,
    OutboxMessage,
    OutboxStep,
    ParkedOffice,
    ParkingCode,
    PaybackChannel,
    Payment,
    Refund,
)
from billing.payment_state import PaymentState, money_of
from billing.stripe_gateway.refusal import OutboundRefused
from billing.unparking import unpark_office
from sandbox.stripe_standin import Fault
from tests.billing.correction_scenes import ANN, BOB, States, agreed, ask, corrected, paid_back, wish
from tests.billing.scenes import CLOSED_AT, TOTAL_CENTS, SharedClock, drain, hear
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db

K = CorrectionKind
DONE, OVERTAKEN = CorrectionStatus.DONE, CorrectionStatus.OVERTAKEN


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def states(stripe, clock):
    return States(stripe, clock)


def held(stripe, invoice):
    return stripe.get("invoice", invoice.stripe_invoice_id)


def money(invoice):
    return money_of([invoice])[invoice.pk]


# --- What each kind does, at Stripe and in our books ---
def test_a_canceled_invoice_is_void_at_stripe_and_owed_no_more(stripe, states, clock):
    invoice = states.sent()
    correction = corrected(invoice, K.CANCEL, clock)

    assert (correction.status, correction.outcome) == (DONE, "")
    assert held(stripe, invoice)["status"] == "void"
    assert (invoice.status, money(invoice).due) == (InvoiceStatus.CANCELED, 0)
    assert not invoice.line_items.filter(live=True).exists()
    assert not Invoice.objects.filter(replaces=invoice).exists()
    hear(stripe, clock)
    assert_invariants(stripe)


def test_a_credit_on_an_open_invoice_lowers_what_is_due(stripe, states, clock):
    invoice = states.sent()
    correction = corrected(invoice, wish(K.CREDIT, amount_cents=150), clock)

    (note,) = stripe.objects("credit_note")
    assert (note["amount"], note["pre_payment_amount"], note["reason"]) == (150, 150, "order_change")
    assert note["metadata"] == {"credit_note_id": str(correction.pk)}
    row = CreditNote.objects.get()
    assert (row.pk, row.stripe_credit_note_id, row.amount_cents) == (correction.pk, note["id"], 150)
    assert (money(invoice).due, invoice.status) == (250, InvoiceStatus.SENT)
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    hear(stripe, clock)
    invoice.refresh_from_db()
    assert (invoice.status, money(invoice).state, money(invoice).paid) == ("paid", PaymentState.PAID, 250)


def test_a_credit_of_all_that_is_due_settles_the_invoice(states, clock):
    invoice = states.sent()
    corrected(invoice, wish(K.CREDIT, amount_cents=TOTAL_CENTS), clock)
    assert (invoice.status, money(invoice).state) == (InvoiceStatus.PAID, PaymentState.CREDITED)


def test_a_credit_on_a_paid_invoice_goes_back_through_stripe(stripe, states, clock):
    invoice = states.paid()
    assert corrected(invoice, paid_back(amount=150), clock).status == DONE

    assert Refund.objects.get(invoice=invoice).amount_cents == 150
    assert [customer["balance"] for customer in stripe.objects("customer")] == [0]
    assert (money(invoice).kept, money(invoice).state) == (250, PaymentState.PARTIALLY_REFUNDED)
    assert corrected(invoice, paid_back(amount=250), clock).status == DONE
    assert (money(invoice).kept, money(invoice).state) == (0, PaymentState.REFUNDED)
    hear(stripe, clock)
    assert_invariants(stripe)


@pytest.mark.parametrize("state", ["paid", "paid_by_check"])
def test_a_credit_that_we_pay_back_ourselves_moves_no_money_at_stripe(stripe, states, clock, state):
    invoice = getattr(states, state)()
    assert corrected(invoice, paid_back(PaybackChannel.OUT_OF_BAND, 150), clock).status == DONE

    assert stripe.objects("refund") == []
    assert [customer["balance"] for customer in stripe.objects("customer")] == [0]
    assert (money(invoice).given_back_outside, money(invoice).kept) == (150, 250)


def test_a_written_off_invoice_is_uncollectible_and_can_still_be_paid(stripe, states, clock):
    invoice = states.sent()
    assert corrected(invoice, K.WRITE_OFF, clock).status == DONE
    assert held(stripe, invoice)["status"] == "uncollectible"
    assert (money(invoice).state, money(invoice).due) == (PaymentState.WRITTEN_OFF, 0)

    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    hear(stripe, clock)
    invoice.refresh_from_db()
    assert (invoice.status, money(invoice).state) == (InvoiceStatus.PAID, PaymentState.PAID)


def test_an_offline_payment_is_paid_out_of_band_with_a_row_of_its_own(stripe, states, clock):
    invoice = states.sent()
    assert corrected(invoice, K.OFFLINE_PAYMENT, clock).status == DONE

    assert (held(stripe, invoice)["status"], stripe.objects("charge")) == ("paid", [])
    payment = Payment.objects.get(invoice=invoice, status="paid")
    assert (payment.channel, payment.amount_paid_cents, payment.stripe_payment_id) == ("out_of_band", 400, None)
    assert money(invoice).state == PaymentState.PAID
    hear(stripe, clock)
    assert_invariants(stripe)


@pytest.mark.parametrize(
    ("card", "outcome", "status"),
    [
        ("succeeds", "paid", "paid"),
        ("declined", "card_declined", "failed"),
        ("none", "invalid_request_error", "failed"),
    ],
)
def test_a_retry_ends_with_what_the_card_said_and_parks_nobody(stripe, states, clock, card, outcome, status):
    invoice = states.failed()
    stripe.dashboard.set_card(card)
    correction = corrected(invoice, K.RETRY, clock)

    assert (correction.status, correction.outcome, invoice.status) == (DONE, outcome, status)
    assert stripe.counts()["POST /v1/invoices/{id}/pay"] == 1
    assert not ParkedOffice.objects.exists()
    assert_invariants(stripe)


def test_a_bank_debit_that_a_retry_started_is_under_way(stripe, states, clock):
    invoice = states.failed()
    stripe.dashboard.set_card("processing")
    correction = corrected(invoice, K.RETRY, clock)
    assert (correction.status, correction.outcome) == (DONE, "not_paid_yet")
    assert money(invoice).state == PaymentState.PROCESSING


# --- Stripe decided otherwise between the approval and the delivery ---
def overtaken(states, clock, state, what, act):
    invoice = getattr(states, state)()
    correction = agreed(invoice, what, now=clock.at)
    act(invoice.stripe_invoice_id)
    writes = states.stripe.writes()
    drain(clock)
    correction.refresh_from_db()
    invoice.refresh_from_db()
    assert states.stripe.writes() == writes, "something was written all the same"
    assert correction.status == OVERTAKEN
    assert not ParkedOffice.objects.exists()
    return invoice, correction


@pytest.mark.parametrize(
    ("what", "act", "outcome"),
    [
        (K.CANCEL, "pay_invoice", "invoice_paid"),
        (K.REPLACE, "pay_invoice", "invoice_paid"),
        (K.WRITE_OFF, "pay_invoice", "invoice_paid"),
        (K.OFFLINE_PAYMENT, "pay_invoice", "invoice_paid"),
        (K.CREDIT, "pay_invoice", "payback_missing"),
        (K.WRITE_OFF, "void", "invoice_canceled"),
        (K.OFFLINE_PAYMENT, "void", "invoice_canceled"),
        (K.CREDIT, "void", "invoice_canceled"),
        (K.CREDIT, "mark_uncollectible", "invoice_written_off"),
        (K.CANCEL, "start_processing", "payment_under_way"),
        (K.OFFLINE_PAYMENT, "start_processing", "payment_under_way"),
    ],
)
def test_what_stripe_decided_meanwhile_ends_the_correction_without_a_write(stripe, states, clock, what, act, outcome):
    invoice, correction = overtaken(states, clock, "sent", what, getattr(stripe.dashboard, act))
    assert correction.outcome == outcome
    assert not Invoice.objects.filter(replaces=invoice).exists()
    hear(stripe, clock)
    assert_invariants(stripe)


def test_a_part_payment_meanwhile_stops_a_cancellation_and_an_offline_payment(stripe, states, clock):
    for what, outcome in ((K.CANCEL, "partly_paid"), (K.OFFLINE_PAYMENT, "amount_not_whole")):
        _, correction = overtaken(states, clock, "sent", what, lambda it: stripe.dashboard.pay_invoice(it, 150))
        assert correction.outcome == outcome


def test_a_refund_meanwhile_stops_the_credit_that_would_give_back_too_much(stripe, states, clock):
    what = paid_back(amount=300)
    _, correction = overtaken(states, clock, "paid", what, lambda it: stripe.dashboard.refund(it, 200))
    assert correction.outcome == "amount_too_high"


def test_an_attempt_of_stripes_own_stands_for_the_retry(stripe, states, clock):
    _, correction = overtaken(states, clock, "failed", K.RETRY, stripe.dashboard.decline)
    assert correction.outcome == "invoice_changed"


@pytest.mark.parametrize(("what", "act"), [(K.CANCEL, "void"), (K.WRITE_OFF, "mark_uncollectible")])
def test_what_somebody_did_at_stripe_already_is_not_done_again(stripe, states, clock, what, act):
    invoice = states.sent()
    correction = agreed(invoice, what, now=clock.at)
    getattr(stripe.dashboard, act)(invoice.stripe_invoice_id)
    writes = stripe.writes()
    drain(clock)
    correction.refresh_from_db()
    assert (correction.status, stripe.writes()) == (DONE, writes)


def test_a_cancellation_that_came_too_late_offers_a_credit(stripe, states, clock):
    invoice = states.sent()
    dropped = frozenset({invoice.line_items.first().pk})
    replace = agreed(invoice, wish(K.REPLACE, dropped=dropped), now=clock.at)
    assert offered_credit_cents(replace) == 0
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    drain(clock)
    replace.refresh_from_db()

    assert offered_credit_cents(replace) == 200
    invoice.refresh_from_db()
    credit = corrected(invoice, paid_back(amount=offered_credit_cents(replace)), clock)
    assert (credit.status, money(invoice).kept) == (DONE, 200)
    cancel = agreed(late := states.sent(), K.CANCEL, now=clock.at)
    stripe.dashboard.pay_invoice(late.stripe_invoice_id)
    drain(clock)
    cancel.refresh_from_db()
    assert offered_credit_cents(cancel) == TOTAL_CENTS


def test_a_payment_that_arrives_between_the_look_and_the_void_is_an_outcome_too(stripe, states, clock):
    """Stripe refuses the void; the fetch after it says why, so nobody is parked."""
    invoice = states.sent()
    correction = agreed(invoice, K.REPLACE, now=clock.at)
    pay_before(stripe, invoice, "/void")
    drain(clock)
    correction.refresh_from_db()
    assert (correction.status, correction.outcome) == (OVERTAKEN, "invoice_paid")
    assert stripe.counts()["POST /v1/invoices/{id}/void"] == 1
    assert not ParkedOffice.objects.exists()
    assert not Invoice.objects.filter(replaces=invoice).exists()
    assert_invariants(stripe)


def pay_before(stripe, invoice, ending: str) -> None:
    """Let the payer be faster than the next request that ends in this way."""
    handle = stripe._api.handle

    def pay_first(request):
        if request.path.endswith(ending):
            stripe._api.handle = handle
            stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
        return handle(request)

    stripe._api.handle = pay_first


# --- Faults: for each kind one void, one note, one payment, whatever happens to the request ---
ROUTE = {
    K.CANCEL: "POST /v1/invoices/{id}/void",
    K.REPLACE: "POST /v1/invoices/{id}/void",
    K.CREDIT: "POST /v1/credit_notes",
    K.WRITE_OFF: "POST /v1/invoices/{id}/mark_uncollectible",
    K.OFFLINE_PAYMENT: "POST /v1/invoices/{id}/pay",
    K.RETRY: "POST /v1/invoices/{id}/pay",
}
PASSING = [
    Fault.UNAVAILABLE,
    Fault.RATE_LIMITED,
    Fault.CONFLICT,
    Fault.KEY_IN_USE,
    Fault.ERROR_BEFORE_COMMIT,
    Fault.ERROR_AFTER_COMMIT,
    Fault.HANG_BEFORE_COMMIT,
    Fault.HANG_AFTER_COMMIT,
    Fault.MALFORMED_BODY,
    Fault.PRUNED_KEYS,
]
ARRIVED = {Fault.ERROR_AFTER_COMMIT, Fault.HANG_AFTER_COMMIT, Fault.MALFORMED_BODY}
STANDS = {
    K.CANCEL: ("void", 0, 0),
    K.REPLACE: ("void", 0, 0),
    K.CREDIT: ("open", 1, 0),
    K.WRITE_OFF: ("uncollectible", 0, 0),
    K.OFFLINE_PAYMENT: ("paid", 0, 0),
    K.RETRY: ("paid", 0, 1),
}


def assert_once(stripe, correction) -> None:
    correction.refresh_from_db()
    invoice = Invoice.objects.get(pk=correction.invoice_id)
    assert correction.status == DONE, correction.outcome
    charges = [each for each in stripe.objects("charge") if each["status"] == "succeeded"]
    assert (held(stripe, invoice)["status"], len(stripe.objects("credit_note")), len(charges)) == STANDS[
        correction.kind
    ]
    assert Invoice.objects.filter(replaces=invoice).count() == (correction.kind == K.REPLACE)
    assert OutboxMessage.objects.get(correction=correction).status == MessageStatus.DONE
    assert stripe.left_over() == {}
    assert not ParkedOffice.objects.exists()
    assert_invariants(stripe)


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("kind", K)
def test_a_fault_that_passes_leaves_the_correction_done_once(stripe, states, clock, kind, fault):
    invoice = states.failed() if kind == K.RETRY else states.sent()
    stripe.dashboard.set_card("succeeds")
    correction = agreed(invoice, kind, now=clock.at)
    stripe.script(ROUTE[kind], [fault])
    drain(clock)

    assert_once(stripe, correction)
    wanted = 1 if fault in ARRIVED | {Fault.PRUNED_KEYS} else 2
    assert stripe.counts()[ROUTE[kind]] == wanted


@pytest.mark.parametrize("kind", K)
def test_one_fault_after_the_other_still_leaves_the_correction_done_once(stripe, states, clock, kind):
    invoice = states.failed() if kind == K.RETRY else states.sent()
    stripe.dashboard.set_card("succeeds")
    correction = agreed(invoice, kind, now=clock.at)
    stripe.script(
        ROUTE[kind],
        [Fault.ERROR_BEFORE_COMMIT, Fault.RATE_LIMITED, Fault.HANG_BEFORE_COMMIT, Fault.HANG_AFTER_COMMIT],
    )
    stripe.script("GET /v1/invoices/{id}", [Fault.UNAVAILABLE, None, Fault.MALFORMED_BODY])
    drain(clock)
    assert_once(stripe, correction)


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE_COMMIT, Fault.HANG_AFTER_COMMIT])
@pytest.mark.parametrize("kind", K)
def test_a_correction_that_slept_longer_than_stripe_keeps_keys_is_not_sent_blindly(stripe, states, clock, kind, fault):
    invoice = states.failed() if kind == K.RETRY else states.sent()
    stripe.dashboard.set_card("succeeds")
    correction = agreed(invoice, kind, now=clock.at)
    stripe.script(ROUTE[kind], [fault])
    deliver_due(clock=clock)
    clock.forward(hours=25)
    stripe.dashboard.prune_idempotency_keys()
    drain(clock)

    assert_once(stripe, correction)
    lost = fault is Fault.HANG_BEFORE_COMMIT
    assert OutboxStep.objects.get(message__correction=correction).key_version == (2 if lost else 1)


def test_a_declined_retry_whose_reply_was_lost_tries_the_card_once(stripe, states, clock):
    invoice = states.failed()
    attempts = held(stripe, invoice)["attempt_count"]
    correction = agreed(invoice, K.RETRY, now=clock.at)
    stripe.script(ROUTE[K.RETRY], [Fault.HANG_AFTER_COMMIT])
    deliver_due(clock=clock)
    clock.forward(hours=25)
    stripe.dashboard.prune_idempotency_keys()
    drain(clock)

    correction.refresh_from_db()
    assert (correction.status, correction.outcome) == (DONE, "not_paid_yet")
    assert held(stripe, invoice)["attempt_count"] == attempts + 1


def test_stripe_down_for_two_days_delays_a_correction_and_loses_nothing(stripe, states, clock):
    correction = agreed(states.sent(), K.CANCEL, now=clock.at)
    stripe.go_down()
    for _ in range(40):
        deliver_due(clock=clock)
        clock.forward(minutes=75)
    stripe.come_back()
    drain(clock)
    assert_once(stripe, correction)


# --- What nobody expects parks the office ---
def test_an_invoice_that_vanished_at_stripe_parks(stripe, states, clock):
    invoice = states.sent()
    correction = agreed(invoice, K.CANCEL, now=clock.at)
    stripe.dashboard.forget("invoice", invoice.stripe_invoice_id)
    drain(clock)
    correction.refresh_from_db()
    assert correction.status == CorrectionStatus.APPROVED
    assert ParkedOffice.objects.get().code == ParkingCode.STRIPE_REFUSED


def test_another_total_at_stripe_parks_and_our_books_stay(stripe, states, clock):
    invoice = states.sent()
    correction = agreed(invoice, K.CANCEL, now=clock.at)
    stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, total=999)
    drain(clock)
    assert ParkedOffice.objects.get().code == ParkingCode.STRIPE_OBJECT_UNEXPECTED
    assert stripe.counts().get(ROUTE[K.CANCEL], 0) == 0

    stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, total=TOTAL_CENTS)
    unpark_office(office_id=invoice.office_id, reason="mended", actor=ANN, now=clock.at)
    drain(clock)
    correction.refresh_from_db()
    assert correction.status == DONE


def test_a_reply_that_lies_about_the_void_is_asked_again(stripe, states, clock):
    invoice = states.sent()
    correction = agreed(invoice, K.REPLACE, now=clock.at)
    stripe.script(ROUTE[K.REPLACE], [Fault.WRONG_STATUS])
    drain(clock)
    assert_once(stripe, correction)


def test_a_document_that_was_changed_is_not_sent(stripe, states, clock):
    correction = agreed(states.paid(), paid_back(), now=clock.at)
    message = OutboxMessage.objects.get(correction=correction)
    message.payload = message.payload.replace('"amount_cents":100', '"amount_cents":400')

    with pytest.raises(DocumentUnreadable):
        deliver_correction(message, clock, actor="test")
    assert stripe.objects("credit_note") == []


def test_the_guard_compares_the_frozen_document_with_the_correction_row(stripe, states, clock):
    """Should document and row ever differ, the guard lets nothing out, and the office is parked."""
    correction = agreed(states.paid(), paid_back(), now=clock.at)
    message = lease_next(clock.at)
    assert message.correction_id == correction.pk
    forged = message.payload.replace('"amount_cents":100', '"amount_cents":400')
    message.payload, message.payload_digest = forged, documents.digest(forged)

    with pytest.raises(OutboundRefused):
        deliver_correction(message, clock, actor="test")
    assert stripe.objects("credit_note") == []


def test_the_frozen_document_holds_ids_and_cents_only(states, clock):
    correction = agreed(states.paid(), paid_back(), now=clock.at)
    document = json.loads(OutboxMessage.objects.get(correction=correction).payload)
    assert document == {
        "v": 1,
        "correction": str(correction.pk),
        "office": str(correction.invoice.office_id),
        "stripe_invoice": correction.invoice.stripe_invoice_id,
        "kind": "credit",
        "amount_cents": 100,
        "payback": "stripe",
        "reason": "order_change",
    }


def test_every_request_of_a_correction_is_evidence_of_its_message(stripe, states, clock):
    invoice = states.paid()
    before = OutboundRequest.objects.count()
    seen = len(stripe.requests)
    correction = corrected(invoice, paid_back(), clock)
    message = OutboxMessage.objects.get(correction=correction)
    assert message.requests.count() == OutboundRequest.objects.count() - before == len(stripe.requests) - seen
    assert message.requests.count() <= 10  # two looks of at most four reads, one write: whatever the size of the office


def test_corrections_are_counted_by_the_drain(states, clock):
    ask(states.sent(), K.CANCEL, now=clock.at)
    approve_correction(correction_id=Correction.objects.get().pk, actor=BOB, now=clock.at)
    assert deliver_due(clock=clock).counts["corrections_delivered"] == 1
    assert not OutboxMessage.objects.filter(kind=MessageKind.CORRECTION).exclude(status="done").exists()
