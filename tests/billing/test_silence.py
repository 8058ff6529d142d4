"""Each write waits for its news; what stays silent is fetched, counted and said, and nothing is fetched twice."""

from datetime import timedelta

import pytest

from billing.expected_news import NEWS_OF, PATIENCE, expect_news
from billing.models import ExpectedEvent, Invoice, InvoiceStatus, OutboxStep, ParkedOffice, ParkingCode
from billing.silence import notice_silence, silence_counts
from billing.stripe_gateway.operation import Operation
from billing.stripe_objects import is_news
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, hear, ring

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def sent(stripe, clock):
    return delivered(stripe, clock)


def fetches(stripe) -> int:
    return stripe.counts().get("GET /v1/invoices/{id}", 0)


def test_a_finalized_invoice_waits_for_its_event(stripe, clock, sent):
    expected = ExpectedEvent.objects.get()
    assert (expected.stripe_object_id, expected.event_type) == (sent[1], "invoice.finalized")
    assert expected.expected_by - expected.registered_at == PATIENCE
    assert expected.step.operation == Operation.FINALIZE_INVOICE


def test_news_that_came_is_no_silence(stripe, clock, sent):
    hear(stripe, clock)
    asked = fetches(stripe)
    assert notice_silence(clock=clock).counts == {"heard": 1}

    assert ExpectedEvent.objects.get().heard_at is not None
    assert fetches(stripe) == asked
    assert silence_counts(now=clock.at) == {"overdue": 0, "pulled": 0}


def test_news_that_came_before_our_own_commit_counts(stripe, clock, sent):
    ring(stripe, clock.at - timedelta(seconds=5))
    notice_silence(clock=clock)

    expected = ExpectedEvent.objects.get()
    assert expected.heard_at == clock.at - timedelta(seconds=5)


def test_before_its_time_silence_is_patience(stripe, clock, sent):
    clock.forward(minutes=14)
    asked = fetches(stripe)
    notice_silence(clock=clock)

    assert fetches(stripe) == asked
    assert silence_counts(now=clock.at) == {"overdue": 0, "pulled": 0}


def test_what_stays_silent_is_fetched_once_and_counted(stripe, clock, sent, caplog):
    stripe.dashboard.pay_invoice(sent[1])
    clock.forward(minutes=16)
    assert silence_counts(now=clock.at) == {"overdue": 1, "pulled": 0}
    assert notice_silence(clock=clock).counts == {"heard": 0, "silent": 1}

    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.PAID
    assert silence_counts(now=clock.at) == {"overdue": 0, "pulled": 1}
    assert "stripe_was_silent" in caplog.text
    asked = fetches(stripe)
    notice_silence(clock=clock)
    assert fetches(stripe) == asked
    clock.forward(days=2)
    assert silence_counts(now=clock.at) == {"overdue": 0, "pulled": 0}


def test_a_stripe_that_is_away_is_asked_again(stripe, clock, sent):
    clock.forward(minutes=16)
    stripe.go_down()
    assert notice_silence(clock=clock).counts == {"heard": 0, "silent_retry_later": 1}
    stripe.come_back()
    assert notice_silence(clock=clock).counts == {"heard": 0, "silent": 1}


def test_an_invoice_that_vanished_in_silence_parks_its_office_and_is_not_asked_for_again(stripe, clock, sent):
    stripe.dashboard.forget("invoice", sent[1])
    clock.forward(minutes=16)
    assert notice_silence(clock=clock).parked == [sent[0].office_id]

    assert ParkedOffice.objects.get().code == ParkingCode.STRIPE_OBJECT_UNEXPECTED
    assert notice_silence(clock=clock).parked == []


def test_each_write_waits_for_one_event_that_we_listen_to():
    assert all(is_news(event_type) for event_type in NEWS_OF.values())
    silent = {
        Operation.CREATE_CUSTOMER, Operation.UPDATE_CUSTOMER, Operation.CREATE_INVOICE, Operation.CREATE_INVOICE_ITEM,
    }  # fmt: skip
    writes = {each for each in Operation if not each.value.startswith(("list_", "retrieve_"))}
    assert set(NEWS_OF) == writes - silent


@pytest.mark.parametrize("operation", NEWS_OF)
def test_a_step_waits_once_however_often_it_is_finished(clock, sent, operation):
    step = OutboxStep.objects.create(message=sent[0].outbox_messages.get(), position=90, operation=operation)
    expect_news(step, "in_1Again", now=clock.at)
    expect_news(step, "in_1Again", now=clock.at + timedelta(hours=1))

    assert ExpectedEvent.objects.get(step=step).registered_at == clock.at


def test_two_events_of_one_invoice_that_stay_silent_cost_one_fetch(stripe, clock, sent):
    step = OutboxStep.objects.create(message=sent[0].outbox_messages.get(), position=90, operation="void_invoice")
    expect_news(step, sent[1], now=clock.at)
    clock.forward(minutes=16)
    asked = fetches(stripe)

    assert notice_silence(clock=clock).counts["silent"] == 2
    assert fetches(stripe) == asked + 1
