"""Ask for a correction, decide about it: two people, one open correction, the invoice as both saw it."""

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from audit.models import AuditEntry
from billing import correction_rules as rules
from billing import corrections
from billing.corrections import (
    LIFETIME,
    CorrectionExpired,
    CorrectionNotFound,
    CorrectionNotWaiting,
    CorrectionOpen,
    DeliveryUnderWay,
    InvoiceNotFound,
    LineNotOfInvoice,
    NothingLeft,
    NotTheRequester,
    SecondPersonNeeded,
    approve_correction,
    expire_corrections,
    reject_correction,
    request_correction,
    withdraw_correction,
)
from billing.delivery import deliver_due
from billing.delivery_steps import lease_next
from billing.invoice_pull import pull_invoice
from billing.models import (
    Correction,
    CorrectionKind,
    CorrectionReason,
    CorrectionStatus,
    DroppedLine,
    Invoice,
    InvoiceStatus,
    LineItem,
    MessageKind,
    MonthClose,
    OutboxMessage,
    ParkingCode,
    PaybackChannel,
)
from billing.outbox import take_back
from billing.parking import park_office
from billing.staff_notes import NoteLooksLikePatientData
from billing.tasks import expire_corrections as expiry_task
from billing.unparking import unpark_office
from offices.models import OfficeStripeAccount
from sandbox.stripe_standin import Fault
from tests.billing.correction_scenes import ANN, BOB, States, agreed, ask, paid_back, wish
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain, hear
from tests.builders import utc
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db

K = CorrectionKind
FITS = "fits"


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def states(stripe, clock):
    return States(stripe, clock)


# --- Every kind in every state of an invoice: what fits, and the code of what does not ---
TABLE = {
    "open_month": dict.fromkeys(K, "invoice_not_closed"),
    "unsent": dict.fromkeys(K, "invoice_draft") | {K.CANCEL: FITS, K.REPLACE: FITS},
    "sent": dict.fromkeys(K, FITS) | {K.RETRY: "invoice_sent"},
    "failed": dict.fromkeys(K, FITS),
    "processing": dict.fromkeys(K, "payment_under_way") | {K.RETRY: "invoice_sent"},
    "partly_paid": {
        K.CANCEL: "partly_paid",
        K.REPLACE: "partly_paid",
        K.CREDIT: FITS,
        K.WRITE_OFF: FITS,
        K.OFFLINE_PAYMENT: "amount_not_whole",
        K.RETRY: "invoice_sent",
    },
    "written_off": {
        K.CANCEL: FITS,
        K.REPLACE: FITS,
        K.CREDIT: "invoice_written_off",
        K.WRITE_OFF: "invoice_written_off",
        K.OFFLINE_PAYMENT: FITS,
        K.RETRY: "invoice_written_off",
    },
    "paid": dict.fromkeys(K, "invoice_paid") | {K.CREDIT: "payback_missing"},
    "paid_by_check": dict.fromkeys(K, "invoice_paid") | {K.CREDIT: "payback_missing"},
    "canceled": dict.fromkeys(K, "invoice_canceled"),
    "settled_at_zero": dict.fromkeys(K, "invoice_paid") | {K.CREDIT: "amount_too_high"},
}


def test_the_table_names_every_state_and_kind():
    assert set(TABLE) == {name for name in vars(States) if not name.startswith("_")}
    assert all(set(row) == set(K) for row in TABLE.values())


@pytest.mark.parametrize("state", TABLE)
def test_each_kind_fits_exactly_where_the_table_says(states, clock, state):
    invoice = getattr(states, state)()
    found = {}
    for kind in K:
        try:
            with transaction.atomic():
                ask(invoice, kind, now=clock.at)
                found[kind] = FITS
                transaction.set_rollback(True)
        except rules.CorrectionRefused as refused:
            found[kind] = refused.code
    assert found == TABLE[state]


@pytest.mark.parametrize("state", [state for state, row in TABLE.items() if FITS in row.values()])
def test_what_fits_can_be_done_and_leaves_the_books_whole(stripe, states, clock, state):
    for kind, answer in TABLE[state].items():
        if answer == FITS:
            invoice = getattr(states, state)()
            correction = agreed(invoice, kind, now=clock.at)
            drain(clock)
            correction.refresh_from_db()
            assert (correction.kind, correction.status) == (kind, CorrectionStatus.DONE)
            stripe.dashboard.set_card("succeeds")
    hear(stripe, clock)
    assert_invariants(stripe)


def test_every_refusal_has_a_code_of_its_own():
    named = [
        each
        for module in (rules, corrections)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, rules.CorrectionRefused)
    ]
    codes = {each.code for each in set(named) - {rules.CorrectionRefused, rules.StatusBars}}
    assert len(codes) == len(set(named)) - 2
    assert rules.CorrectionRefused.code not in codes


# --- What a wish must look like ---
@pytest.mark.parametrize(
    ("what", "refusal"),
    [
        (wish(K.CREDIT, amount_cents=None), rules.AmountMissing),
        (wish(K.CREDIT, amount_cents=0), rules.AmountMissing),
        (wish(K.CREDIT, amount_cents=-5), rules.AmountMissing),
        (wish(K.CREDIT, amount_cents=401), rules.AmountTooHigh),
        (wish(K.CREDIT, payback=PaybackChannel.STRIPE), rules.PaybackNotDue),
        (wish(K.CREDIT, reason=CorrectionReason.PAID_BY_WIRE), rules.ReasonDoesNotFit),
        (wish(K.OFFLINE_PAYMENT, amount_cents=399), rules.AmountNotWhole),
        (wish(K.OFFLINE_PAYMENT, amount_cents=401), rules.AmountNotWhole),
        (wish(K.OFFLINE_PAYMENT, reason=CorrectionReason.GOODWILL), rules.ReasonDoesNotFit),
        (wish(K.CANCEL, amount_cents=400), rules.AmountNotTaken),
        (wish(K.CANCEL, payback=PaybackChannel.STRIPE), rules.AmountNotTaken),
        (wish(K.CANCEL, reason=CorrectionReason.UNCOLLECTIBLE), rules.ReasonDoesNotFit),
        (wish(K.WRITE_OFF, reason=CorrectionReason.PAID_BY_CHECK), rules.ReasonDoesNotFit),
    ],
)
def test_a_wish_that_does_not_fit_a_sent_invoice_is_refused_by_name(states, clock, what, refusal):
    invoice = states.sent()
    with pytest.raises(refusal):
        ask(invoice, what, now=clock.at)
    assert not Correction.objects.exists()


@pytest.mark.parametrize(
    ("state", "what", "refusal"),
    [
        ("paid", paid_back(amount=401), rules.AmountTooHigh),
        ("paid_by_check", paid_back(), rules.NotPaidThroughStripe),
        ("paid_by_check", paid_back(PaybackChannel.OUT_OF_BAND, 401), rules.AmountTooHigh),
    ],
)
def test_no_more_goes_back_than_came_in_that_way(states, clock, state, what, refusal):
    invoice = getattr(states, state)()
    with pytest.raises(refusal):
        ask(invoice, what, now=clock.at)


def test_a_refunded_or_disputed_part_cannot_be_given_back_again(stripe, states, clock):
    refunded, disputed = states.paid(), states.paid()
    stripe.dashboard.refund(refunded.stripe_invoice_id, 350)
    stripe.dashboard.dispute(disputed.stripe_invoice_id)
    for invoice in (refunded, disputed):
        invoices_money(stripe, invoice, clock)
    with pytest.raises(rules.AmountTooHigh):
        ask(refunded, paid_back(amount=51), now=clock.at)
    ask(refunded, paid_back(amount=50), now=clock.at)
    with pytest.raises(rules.AmountTooHigh):
        ask(disputed, paid_back(amount=1), now=clock.at)


def invoices_money(stripe, invoice, clock):
    """Fetch what became of the money, as news of it would."""
    pull_invoice(Invoice.objects.get(pk=invoice.pk), actor="test", clock=clock, money_back=True)


def test_a_retry_needs_a_method_on_file(stripe, states, clock):
    invoice = states.sent()
    stripe.dashboard.decline(invoice.stripe_invoice_id)
    hear(stripe, clock)
    with pytest.raises(rules.NotChargedAutomatically):
        ask(invoice, K.RETRY, now=clock.at)


def test_lines_to_drop_are_live_lines_of_this_invoice_and_leave_something(states, clock):
    invoice, other = states.sent(), states.sent()
    lines = list(invoice.line_items.values_list("pk", flat=True))
    foreign = other.line_items.first().pk
    for what, refusal in (
        (wish(K.REPLACE, dropped=frozenset({foreign})), LineNotOfInvoice),
        (wish(K.REPLACE, dropped=frozenset(lines)), NothingLeft),
        (wish(K.CANCEL, dropped=frozenset(lines[:1])), rules.AmountNotTaken),
    ):
        with pytest.raises(refusal):
            ask(invoice, what, now=clock.at)
    ask(invoice, wish(K.REPLACE, dropped=frozenset(lines[:1])), now=clock.at)
    assert DroppedLine.objects.get().line_item_id == lines[0]


def test_what_was_credited_is_not_charged_again_by_a_replacement(states, clock):
    invoice = states.sent()
    agreed(invoice, K.CREDIT, now=clock.at)
    drain(clock)
    with pytest.raises(rules.InvoiceCredited):
        ask(invoice, K.REPLACE, now=clock.at)


def test_an_unknown_invoice_or_correction_is_not_found():
    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(InvoiceNotFound):
        request_correction(invoice_id=nobody, wish=wish(K.CANCEL), seen_version=0, actor=ANN, now=CLOSED_AT)
    with pytest.raises(CorrectionNotFound):
        approve_correction(correction_id=nobody, actor=BOB, now=CLOSED_AT)


# --- Two people ---
@pytest.mark.parametrize("kind", [kind for kind in K if kind != K.RETRY])
def test_nobody_approves_or_rejects_what_they_asked_for(states, clock, kind):
    correction = ask(states.sent(), kind, now=clock.at)
    for decide in (approve_correction, reject_correction):
        for actor in (ANN, "", "  "):
            with pytest.raises(SecondPersonNeeded):
                decide(correction_id=correction.pk, actor=actor, now=clock.at)
    assert not OutboxMessage.objects.filter(kind=MessageKind.CORRECTION).exists()


def test_the_database_refuses_an_approval_by_the_same_person(states, clock):
    correction = ask(states.sent(), K.CANCEL, now=clock.at)
    with pytest.raises(IntegrityError, match="correction_approved_by_a_second_person"), transaction.atomic():
        Correction.objects.filter(pk=correction.pk).update(status="approved", decided_by=ANN, decided_at=clock.at)


def test_a_retry_is_approved_at_once(states, clock):
    correction = ask(states.failed(), K.RETRY, now=clock.at)
    assert (correction.status, correction.decided_by) == (CorrectionStatus.APPROVED, ANN)
    assert OutboxMessage.objects.filter(correction=correction).exists()


def test_what_is_rejected_or_withdrawn_ends_there_and_another_may_be_asked_for(states, clock):
    invoice = states.sent()
    first = ask(invoice, K.CANCEL, now=clock.at)
    with pytest.raises(NotTheRequester):
        withdraw_correction(correction_id=first.pk, actor=BOB, now=clock.at)
    withdraw_correction(correction_id=first.pk, actor=ANN, now=clock.at)
    second = ask(invoice, K.WRITE_OFF, now=clock.at)
    reject_correction(correction_id=second.pk, actor=BOB, now=clock.at)
    for ended in (first, second):
        ended.refresh_from_db()
        assert (ended.status, ended.ended_at) == (CorrectionStatus.REJECTED, clock.at)
        with pytest.raises(CorrectionNotWaiting):
            approve_correction(correction_id=ended.pk, actor="cid", now=clock.at)
    assert (first.outcome, second.outcome) == ("withdrawn", "")
    assert not OutboxMessage.objects.filter(kind=MessageKind.CORRECTION).exists()
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT


def test_one_correction_of_an_invoice_at_a_time(states, clock):
    invoice = states.sent()
    correction = ask(invoice, K.CANCEL, now=clock.at)
    for _ in range(2):  # while it waits, and while it is under way
        with pytest.raises(CorrectionOpen):
            ask(invoice, K.CREDIT, now=clock.at)
        if correction.status == CorrectionStatus.REQUESTED:
            correction = approve_correction(correction_id=correction.pk, actor=BOB, now=clock.at)


def test_an_approved_correction_is_not_approved_twice(states, clock):
    correction = agreed(states.sent(), K.CANCEL, now=clock.at)
    with pytest.raises(CorrectionNotWaiting):
        approve_correction(correction_id=correction.pk, actor="cid", now=clock.at)
    assert OutboxMessage.objects.filter(correction=correction).count() == 1


# --- The invoice as it was seen ---
def test_an_invoice_that_changed_since_it_was_looked_at_is_not_corrected(stripe, states, clock):
    invoice = states.sent()
    seen = invoice.version
    asked = ask(invoice, K.CANCEL, now=clock.at)
    stripe.dashboard.decline(invoice.stripe_invoice_id)
    hear(stripe, clock)

    with pytest.raises(rules.InvoiceChanged):
        approve_correction(correction_id=asked.pk, actor=BOB, now=clock.at)
    withdraw_correction(correction_id=asked.pk, actor=ANN, now=clock.at)
    with pytest.raises(rules.InvoiceChanged):
        request_correction(invoice_id=invoice.pk, wish=wish(K.CANCEL), seen_version=seen, actor=ANN, now=clock.at)
    agreed(invoice, K.CANCEL, now=clock.at)


def test_money_that_came_in_meanwhile_is_seen_at_the_approval(stripe, states, clock):
    """A part payment changes no status and no version; the amounts are looked at anew."""
    invoice = states.sent()
    asked = ask(invoice, K.OFFLINE_PAYMENT, now=clock.at)
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, 150)
    hear(stripe, clock)

    with pytest.raises(rules.AmountNotWhole):
        approve_correction(correction_id=asked.pk, actor=BOB, now=clock.at)


# --- Time ---
def test_a_request_nobody_decides_about_expires_after_a_week(states, clock):
    correction = ask(states.sent(), K.CANCEL, now=clock.at)
    just_before, then = clock.at + LIFETIME - timedelta(seconds=1), clock.at + LIFETIME

    assert expire_corrections(actor="system:beat", now=just_before) == 0
    with pytest.raises(CorrectionExpired):
        approve_correction(correction_id=correction.pk, actor=BOB, now=then)
    assert expire_corrections(actor="system:beat", now=then) == 1
    assert expire_corrections(actor="system:beat", now=then) == 0
    correction.refresh_from_db()
    assert (correction.status, correction.ended_at) == (CorrectionStatus.EXPIRED, then)


def test_an_approved_correction_does_not_expire(states, clock):
    correction = agreed(states.sent(), K.CANCEL, now=clock.at)
    assert expire_corrections(actor="system:beat", now=clock.at + 2 * LIFETIME) == 0
    correction.refresh_from_db()
    assert correction.status == CorrectionStatus.APPROVED


def test_what_has_expired_is_in_nobodys_way_even_before_the_sweep(states, clock):
    invoice = states.sent()
    forgotten = ask(invoice, K.CANCEL, now=clock.at)
    ask(invoice, K.CANCEL, now=clock.at + LIFETIME)
    forgotten.refresh_from_db()
    assert forgotten.status == CorrectionStatus.EXPIRED


def test_the_hourly_task_expires_what_is_late(states, clock):
    correction = ask(states.sent(), K.CANCEL, now=utc("2020-01-01"))
    expiry_task()
    correction.refresh_from_db()
    assert correction.status == CorrectionStatus.EXPIRED


# --- Notes and the audit trail ---
def test_a_note_that_looks_like_patient_data_needs_a_reason_and_stays_sealed(states, clock):
    invoice = states.sent()
    note = "billed John Smith, born 1980-02-03, twice"
    with pytest.raises(NoteLooksLikePatientData) as refused:
        ask(invoice, wish(K.CANCEL, note=note), now=clock.at)
    assert note not in str(refused.value)

    correction = ask(invoice, wish(K.CANCEL, note=note, override_reason="he owns the clinic"), now=clock.at)
    correction.refresh_from_db()
    assert correction.note == f"{note}\n\n[override: he owns the clinic]"
    approve_correction(correction_id=correction.pk, actor=BOB, now=clock.at)
    drain(clock)
    written = " ".join(AuditEntry.objects.values_list("payload", flat=True))
    sent = " ".join(OutboxMessage.objects.values_list("payload", flat=True))
    for word in ("Smith", "1980-02-03", "owns"):
        assert word not in written + sent
    assert "note.advice_overridden" in actions()


def actions() -> list[str]:
    entries = AuditEntry.objects.order_by("pk").filter(action__regex=r"^(correction|note|invoice\.(status|replaced))")
    return list(entries.values_list("action", flat=True))


def test_each_step_of_a_correction_is_in_the_audit_trail_with_its_person(states, clock):
    invoice = states.sent()
    before = len(actions())
    correction = agreed(invoice, K.CANCEL, now=clock.at)
    drain(clock)

    assert actions()[before:] == [
        "correction.requested",
        "correction.approved",
        "invoice.status_changed",
        "correction.ended",
    ]
    entries = AuditEntry.objects.filter(action__startswith="correction").order_by("pk")
    assert [entry.actor for entry in entries] == [ANN, BOB, "system:delivery"]
    assert {json.loads(entry.payload)["correction"] for entry in entries} == {str(correction.pk)}
    assert_invariants()


# --- An invoice that Stripe never heard of ---
def test_a_closed_invoice_that_was_not_sent_is_canceled_here_and_never_sent(stripe, clock):
    invoice = close_month()
    correction = agreed(invoice, K.CANCEL, now=clock.at)

    invoice.refresh_from_db()
    assert (correction.status, correction.outcome, invoice.status) == ("done", "not_sent", InvoiceStatus.CANCELED)
    assert not LineItem.objects.filter(invoice=invoice, live=True).exists()
    drain(clock)
    assert stripe.objects("invoice") == []
    message = OutboxMessage.objects.get(invoice=invoice)
    assert (message.status, message.error_code) == ("dead", "canceled")
    assert_invariants(stripe)


def test_a_parked_invoice_that_was_canceled_stays_unsent_after_the_unpark(stripe, clock):
    invoice = close_month()
    OutboxMessage.objects.filter(invoice=invoice).update(status="parked")
    park_office(office_id=invoice.office_id, code=ParkingCode.UNEXPECTED_ERROR, actor=ANN, now=clock.at)
    agreed(invoice, K.CANCEL, now=clock.at)
    unpark_office(office_id=invoice.office_id, reason="wrong month", actor=ANN, now=clock.at)
    drain(clock)
    assert stripe.objects("invoice") == []


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE_COMMIT, Fault.HANG_AFTER_COMMIT])
def test_an_invoice_of_which_something_may_have_left_is_corrected_only_when_it_has_arrived(stripe, clock, fault):
    invoice = close_month()
    early = ask(invoice, K.CANCEL, now=clock.at)
    stripe.script("POST /v1/invoices", [fault])
    deliver_due(clock=clock)

    with pytest.raises(DeliveryUnderWay):
        approve_correction(correction_id=early.pk, actor=BOB, now=clock.at)
    withdraw_correction(correction_id=early.pk, actor=ANN, now=clock.at)
    with pytest.raises(DeliveryUnderWay):
        ask(invoice, K.CANCEL, now=clock.at)
    drain(clock)
    agreed(invoice, K.CANCEL, now=clock.at)
    drain(clock)

    assert [held["status"] for held in stripe.objects("invoice")] == ["void"]
    assert_invariants(stripe)


def test_a_leased_message_is_not_taken_back(clock):
    invoice = close_month()
    OfficeStripeAccount.objects.create(
        office=invoice.office, customer_id="cus_1", customer_index="c", customer_index_key="k", created_at=CLOSED_AT
    )
    OutboxMessage.objects.filter(kind="customer").update(status="done")
    assert lease_next(CLOSED_AT).invoice_id == invoice.pk
    assert not take_back(invoice)
    with pytest.raises(DeliveryUnderWay):
        ask(invoice, K.CANCEL, now=CLOSED_AT)


# --- A month that two people have signed ---
@pytest.mark.parametrize("kind", [K.CANCEL, K.REPLACE])
def test_an_invoice_of_a_locked_month_is_credited_not_canceled(states, clock, kind):
    invoice = states.sent()
    MonthClose.objects.create(
        key=invoice.cycle.key, first_signed_by=ANN, first_signed_at=clock.at, second_signed_by=BOB,
        locked_at=clock.at, signed="{}",
    )  # fmt: skip
    with pytest.raises(rules.MonthLocked):
        ask(invoice, kind, now=clock.at)
    ask(invoice, K.CREDIT, now=clock.at)
