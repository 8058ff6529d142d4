"""Stripe's events in any order, any number of times: in the end we are where Stripe is, and never an error."""

import random
from datetime import timedelta

import pytest

from billing import fail_points
from billing.billing_run import run_due
from billing.customers import customer_digests, office_of_customer
from billing.delivery import deliver_due
from billing.event_outcomes import QUARANTINE_TRIES
from billing.fail_points import FailPoint
from billing.models import (
    EventStatus,
    Invoice,
    InvoiceStatus,
    ParkedOffice,
    ParkingCode,
    Payment,
    PaymentStatus,
    StripeEvent,
)
from billing.stripe_events import ASK_ON_TRIES, preview, process_due
from offices.models import Office, OfficeStripeAccount
from sandbox.stripe_standin import Fault
from tests.billing.scenes import CLOSED_AT, TOTAL_CENTS, SharedClock, close_month, delivered, drain, hear, ring
from tests.builders import ACTOR
from tests.invariants import assert_invariants, violations

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture(autouse=True)
def no_hook_left():
    yield
    fail_points.install(None)


@pytest.fixture
def sent(stripe, clock):
    """Our invoice, sent, and its Stripe id."""
    return delivered(stripe, clock)


def status_of(invoice: Invoice) -> InvoiceStatus:
    return InvoiceStatus(Invoice.objects.values_list("status", flat=True).get(pk=invoice.pk))


def statuses() -> set[str]:
    return set(StripeEvent.objects.values_list("status", flat=True))


def fetches(stripe) -> int:
    return stripe.counts().get("GET /v1/invoices/{id}", 0)


def test_a_paid_event_pays_the_invoice_and_records_the_payment(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.PAID
    payment = Payment.objects.get(invoice=invoice)
    (at_stripe,) = stripe.objects("invoice_payment")
    assert (payment.stripe_payment_id, payment.status) == (at_stripe["id"], PaymentStatus.PAID)
    assert (payment.amount_paid_cents, payment.currency) == (TOTAL_CENTS, "USD")
    assert payment.payment_intent_id == at_stripe["payment"]["payment_intent"]
    assert statuses() == {EventStatus.DONE, EventStatus.IGNORED}
    assert_invariants(stripe)


def test_every_event_fifty_times_changes_nothing_more(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.decline(stripe_id)
    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)
    before = Invoice.objects.filter(pk=invoice.pk).values().get(), StripeEvent.objects.count()
    asked = fetches(stripe)
    for _ in range(50):
        ring(stripe, clock.at)
    process_due(clock=clock)

    assert (Invoice.objects.filter(pk=invoice.pk).values().get(), StripeEvent.objects.count()) == before
    assert fetches(stripe) == asked
    assert Payment.objects.count() == 1


def test_many_events_of_one_invoice_cost_one_fetch(stripe, clock, sent):
    _, stripe_id = sent
    for _ in range(5):
        stripe.dashboard.decline(stripe_id)
    asked = fetches(stripe)
    ring(stripe, clock.at)
    process_due(clock=clock)

    assert fetches(stripe) == asked + 1


@pytest.mark.parametrize("seed", range(4))
def test_events_in_any_order_and_in_any_portions_end_where_stripe_is(stripe, clock, seed):
    source = random.Random(seed)
    ours = [delivered(stripe, clock) for _ in range(3)]
    for (_, stripe_id), fate in zip(ours, ("pay", "void", "decline"), strict=True):
        stripe.dashboard.decline(stripe_id)
        if fate == "pay":
            stripe.dashboard.pay_invoice(stripe_id)
        elif fate == "void":
            stripe.dashboard.void(stripe_id)
    events = stripe.objects("event") * 3
    source.shuffle(events)
    while events:
        portion = source.randint(1, 12)
        ring(stripe, clock.at, events=events[:portion])
        del events[:portion]
        if source.random() < 0.5:
            process_due(clock=clock)
            clock.forward(minutes=source.randint(1, 60))
    hear(stripe, clock)

    found = [status_of(invoice) for invoice, _ in ours]
    assert found == [InvoiceStatus.PAID, InvoiceStatus.CANCELED, InvoiceStatus.FAILED]
    assert_invariants(stripe)


def test_an_old_event_of_a_paid_invoice_does_not_take_the_payment_back(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.decline(stripe_id)
    failed = [each for each in stripe.objects("event") if each["type"] == "invoice.payment_failed"]
    stripe.dashboard.pay_invoice(stripe_id)
    ring(stripe, clock.at, events=[each for each in stripe.objects("event") if each["type"] == "invoice.paid"])
    process_due(clock=clock)
    clock.forward(hours=96)  # an event may be days late
    ring(stripe, clock.at, events=failed)
    process_due(clock=clock)

    assert status_of(invoice) == InvoiceStatus.PAID


def test_a_stripe_that_takes_a_payment_back_changes_nothing_here(stripe, clock, sent):
    """A refund is a row of its own; an invoice that reads as open again is no way back from paid."""
    invoice, stripe_id = sent
    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)
    for status in ("open", "uncollectible", "void", "draft"):
        stripe.dashboard.edit("invoice", stripe_id, status=status)
        StripeEvent.objects.filter(object_id=stripe_id).update(status=EventStatus.PENDING)
        process_due(clock=clock)
        clock.forward(hours=7)
        assert status_of(invoice) == InvoiceStatus.PAID
    assert Payment.objects.get().status == PaymentStatus.PAID


def test_events_before_our_own_commit_wait_in_quarantine_and_then_count(stripe, clock):
    invoice = close_month()
    stripe.script("POST /v1/invoices", [Fault.HANG_AFTER_COMMIT])
    deliver_due(clock=clock)
    ring(stripe, clock.at)
    process_due(clock=clock)
    early = StripeEvent.objects.get(event_type="invoice.created")
    assert (early.status, early.error_code) == (EventStatus.QUARANTINED, "object_unknown")

    drain(clock)
    clock.forward(minutes=5)
    process_due(clock=clock)

    early.refresh_from_db()
    assert early.status == EventStatus.DONE
    assert early.error_code == ""
    assert status_of(invoice) == InvoiceStatus.SENT


def test_an_invoice_nobody_here_knows_is_dead_after_some_tries_and_stays_visible(stripe, clock, sent):
    _, stripe_id = sent
    (event, *_) = [each for each in stripe.objects("event") if each["data"]["object"]["id"] == stripe_id]
    event["data"]["object"]["id"] = "in_1NobodyKnowsMe"
    event["id"] = "evt_1Unknown"
    ring(stripe, clock.at, events=[event])
    asked = fetches(stripe)
    for _ in range(QUARANTINE_TRIES + 3):
        process_due(clock=clock)
        clock.forward(hours=7)

    stored = StripeEvent.objects.get(event_id="evt_1Unknown")
    assert (stored.status, stored.attempts, stored.error_code) == (EventStatus.DEAD, QUARANTINE_TRIES, "object_unknown")
    assert stored.processed_at is not None
    assert fetches(stripe) == asked + len(ASK_ON_TRIES)
    assert not ParkedOffice.objects.exists()


def test_events_of_other_objects_are_kept_and_ignored(stripe, clock, sent):
    ring(stripe, clock.at)
    process_due(clock=clock)

    ignored = StripeEvent.objects.filter(status=EventStatus.IGNORED)
    kinds = {(event.object_id or event.customer_id).partition("_")[0] for event in StripeEvent.objects.all()}
    assert {(event.object_id or event.customer_id).partition("_")[0] for event in ignored} == kinds - {"in"}
    assert "cus" in kinds
    assert not any(event.object_id.startswith("in_") for event in ignored)


def test_news_of_a_customer_is_kept_encrypted_and_found_by_the_index_of_its_account(stripe, clock, sent, settings):
    account = OfficeStripeAccount.objects.get()
    settings.BLIND_INDEX_KEYS = ["a-new-index-key-of-enough-length-0123456789", *settings.BLIND_INDEX_KEYS]
    ring(stripe, clock.at)

    event = StripeEvent.objects.get(event_type="customer.created")
    assert (event.object_id, event.customer_id) == ("", account.customer_id)
    # Amid a rotation the two were indexed under different keys; each is found all the same.
    assert event.customer_index != account.customer_index
    assert office_of_customer(event.customer_id) == account.office_id
    assert StripeEvent.objects.get(customer_index__in=customer_digests(account.customer_id)) == event


def test_a_failed_attempt_is_failed_and_a_later_payment_pays(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.decline(stripe_id)
    hear(stripe, clock)
    assert status_of(invoice) == InvoiceStatus.FAILED
    office = Office.objects.get(pk=invoice.office_id)
    assert office.past_due_since == Invoice.objects.get(pk=invoice.pk).failed_at

    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.PAID
    office.refresh_from_db()
    assert office.past_due_since is None
    assert_invariants(stripe)


def test_a_voided_invoice_is_canceled(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.void(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.CANCELED
    assert_invariants(stripe)


def test_a_write_off_is_failed_and_can_still_be_paid(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.mark_uncollectible(stripe_id)
    hear(stripe, clock)
    assert status_of(invoice) == InvoiceStatus.FAILED

    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.PAID
    assert_invariants(stripe)


def test_a_write_off_can_still_be_voided(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.mark_uncollectible(stripe_id)
    stripe.dashboard.void(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.CANCELED


def test_a_part_payment_is_a_row_and_the_invoice_stays_sent(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.pay_invoice(stripe_id, amount=150)
    hear(stripe, clock)
    assert status_of(invoice) == InvoiceStatus.SENT
    assert sum(Payment.objects.values_list("amount_paid_cents", flat=True)) == 150

    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.PAID
    assert sum(Payment.objects.values_list("amount_paid_cents", flat=True)) == TOTAL_CENTS


def test_money_from_elsewhere_is_a_payment_out_of_band(stripe, clock, sent):
    invoice, stripe_id = sent
    stripe.dashboard.pay_out_of_band(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.PAID
    paid = Payment.objects.get(status=PaymentStatus.PAID)
    assert (paid.channel, paid.amount_paid_cents, paid.stripe_payment_id) == ("out_of_band", TOTAL_CENTS, None)


@pytest.mark.parametrize(
    "fault", [Fault.UNAVAILABLE, Fault.RATE_LIMITED, Fault.HANG_AFTER_COMMIT, Fault.MALFORMED_BODY, Fault.HUGE_BODY]
)
def test_a_fetch_that_fails_is_tried_again(stripe, clock, sent, fault):
    invoice, stripe_id = sent
    stripe.dashboard.pay_invoice(stripe_id)
    stripe.script("GET /v1/invoices/{id}", [fault])
    ring(stripe, clock.at)
    summary = process_due(clock=clock)
    assert summary.counts["retry_later"] > 0
    assert status_of(invoice) == InvoiceStatus.SENT

    clock.forward(minutes=1)
    process_due(clock=clock)

    assert status_of(invoice) == InvoiceStatus.PAID
    assert not ParkedOffice.objects.exists()


@pytest.mark.parametrize("lie", [Fault.WRONG_TOTAL, Fault.WRONG_CURRENCY])
def test_another_total_or_currency_leaves_our_books_alone(stripe, clock, sent, lie):
    invoice, stripe_id = sent
    stripe.dashboard.pay_invoice(stripe_id)
    stripe.script("GET /v1/invoices/{id}", [lie])
    ring(stripe, clock.at)
    process_due(clock=clock)

    assert status_of(invoice) == InvoiceStatus.SENT
    assert Invoice.objects.get(pk=invoice.pk).total_cents == TOTAL_CENTS
    assert not Payment.objects.exists()
    parked = ParkedOffice.objects.filter(office=invoice.office_id).values_list("code", flat=True)
    assert list(parked) == ([ParkingCode.STRIPE_OBJECT_UNEXPECTED] if lie is Fault.WRONG_TOTAL else [])


def test_an_invoice_that_vanished_at_stripe_parks_and_keeps_its_status(stripe, clock, sent):
    invoice, stripe_id = sent
    ring(stripe, clock.at)
    stripe.dashboard.forget("invoice", stripe_id)
    process_due(clock=clock)

    assert status_of(invoice) == InvoiceStatus.SENT
    assert ParkedOffice.objects.get().code == ParkingCode.STRIPE_OBJECT_UNEXPECTED
    assert "I4" in {violation.invariant for violation in violations(stripe)}


def test_a_parked_office_still_hears_that_it_paid(stripe, clock, sent):
    invoice, stripe_id = sent
    Office.objects.filter(pk=invoice.office_id).update(parked_at=clock.at)
    stripe.dashboard.pay_invoice(stripe_id)
    hear(stripe, clock)

    assert status_of(invoice) == InvoiceStatus.PAID


def test_events_of_one_invoice_do_not_hold_up_those_of_another(stripe, clock):
    (broken, broken_id), (healthy, healthy_id) = delivered(stripe, clock), delivered(stripe, clock)
    stripe.dashboard.forget("invoice", broken_id)
    stripe.dashboard.pay_invoice(healthy_id)
    hear(stripe, clock)

    assert status_of(healthy) == InvoiceStatus.PAID
    assert status_of(broken) == InvoiceStatus.SENT


def test_a_preview_claims_nothing(stripe, clock, sent):
    ring(stripe, clock.at)
    asked = len(stripe.requests)

    assert preview(now=clock.at).counts["waiting"] == StripeEvent.objects.count()
    assert set(StripeEvent.objects.values_list("attempts", flat=True)) == {0}
    assert len(stripe.requests) == asked


def test_the_next_try_of_an_event_is_written_before_this_one_and_grows_to_six_hours(stripe, clock, sent):
    _, stripe_id = sent
    ring(stripe, clock.at)
    stripe.go_down()
    pauses = []
    for _ in range(14):
        process_due(clock=clock)
        event = StripeEvent.objects.filter(object_id=stripe_id).first()
        pauses.append(event.next_attempt_at - clock.at)
        clock.forward(seconds=pauses[-1].total_seconds())
    stripe.come_back()
    process_due(clock=clock)

    assert pauses == [min(timedelta(seconds=15) * 2**number, timedelta(hours=6)) for number in range(14)]
    assert set(StripeEvent.objects.filter(object_id=stripe_id).values_list("status", flat=True)) == {EventStatus.DONE}


def test_a_fetch_that_is_overtaken_is_thrown_away_and_made_again(stripe, clock, sent):
    """One worker has read `open`; before it writes, another one learns of a failed attempt."""
    invoice, stripe_id = sent

    def overtake(point: FailPoint) -> None:
        if point == FailPoint.EVENTS_FETCHED:
            fail_points.install(None)
            stripe.dashboard.decline(stripe_id)
            ring(stripe, clock.at)
            process_due(clock=clock)

    ring(stripe, clock.at)
    fail_points.install(overtake)
    summary = process_due(clock=clock)
    assert summary.counts["retry_later"] > 0
    assert status_of(invoice) == InvoiceStatus.FAILED

    hear(stripe, clock)
    assert status_of(invoice) == InvoiceStatus.FAILED
    assert_invariants(stripe)


def test_a_month_of_two_invoices_each_hears_its_own_events(stripe, clock, sent):
    first, first_id = sent
    clock.forward(days=31)
    run_due(as_of=clock.at, actor=ACTOR, now=clock.at)
    drain(clock)
    stripe.dashboard.pay_invoice(first_id)
    hear(stripe, clock)

    second = Invoice.objects.exclude(pk=first.pk).get(closed_at__isnull=False)
    assert (status_of(first), status_of(second)) == (InvoiceStatus.PAID, InvoiceStatus.SENT)
    assert_invariants(stripe)
