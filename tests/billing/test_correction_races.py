"""Two approvers, a payment, a delivery at the same moment: one decision, and never a void of what is paid."""

import pytest

from billing.billing_run import run_due
from billing.correction_rules import InvoiceChanged
from billing.corrections import (
    CorrectionNotWaiting,
    CorrectionOpen,
    DeliveryUnderWay,
    approve_correction,
    expire_corrections,
    reject_correction,
)
from billing.delivery import deliver_due
from billing.models import Correction, CorrectionKind, CorrectionStatus, Invoice, InvoiceStatus, OutboxMessage
from billing.stripe_events import process_due
from offices.locking import lock_office
from tests.billing.correction_scenes import BOB, agreed, ask
from tests.billing.scenes import CLOSED_AT, SharedClock, at_once, close_month, delivered, drain, hear, held, ring
from tests.builders import ACTOR, utc
from tests.invariants import assert_invariants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

K = CorrectionKind


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


def deciding(correction, actor, use_case=approve_correction, now=CLOSED_AT):
    return lambda: use_case(correction_id=correction.pk, actor=actor, now=now)


def test_of_many_approvers_at_once_one_decides(stripe, clock):
    invoice, _ = delivered(stripe, clock)
    correction = ask(invoice, K.CANCEL, now=clock.at)

    results = at_once([deciding(correction, f"approver-{number}", now=clock.at) for number in range(8)])

    assert sum(isinstance(each, Correction) for each in results) == 1
    assert sum(isinstance(each, CorrectionNotWaiting) for each in results) == 7
    assert OutboxMessage.objects.filter(correction=correction).count() == 1


def test_an_approval_and_a_rejection_at_once_are_one_decision(stripe, clock):
    for _ in range(4):
        invoice, _ = delivered(stripe, clock)
        correction = ask(invoice, K.CANCEL, now=clock.at)
        results = at_once(
            [deciding(correction, BOB, now=clock.at), deciding(correction, "cid", reject_correction, now=clock.at)]
        )
        assert sum(isinstance(each, CorrectionNotWaiting) for each in results) == 1
        correction.refresh_from_db()
        approved = correction.status == CorrectionStatus.APPROVED
        assert OutboxMessage.objects.filter(correction=correction).exists() == approved


def test_of_many_requests_at_once_one_is_open(stripe, clock):
    invoice, _ = delivered(stripe, clock)
    results = at_once([lambda kind=kind: ask(invoice, kind, now=clock.at) for kind in (K.CANCEL, K.CREDIT) * 4])
    assert sum(isinstance(each, Correction) for each in results) == 1
    assert sum(isinstance(each, CorrectionOpen) for each in results) == 7


def test_a_payment_that_arrives_with_the_approval_wins(stripe, clock):
    """The money is at Stripe already: whoever gets the office first, nothing is voided and nothing replaced."""
    for _ in range(6):
        invoice, stripe_id = delivered(stripe, clock)
        correction = ask(invoice, K.REPLACE, now=clock.at)
        stripe.dashboard.pay_invoice(stripe_id)
        ring(stripe, clock.at)

        results = at_once([deciding(correction, BOB, now=clock.at), lambda: process_due(clock=clock)])

        assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, InvoiceChanged)]
        drain(clock)
        hear(stripe, clock)
        correction.refresh_from_db()
        invoice.refresh_from_db()
        assert invoice.status == InvoiceStatus.PAID
        assert correction.status in {CorrectionStatus.REQUESTED, CorrectionStatus.OVERTAKEN}
        assert not Invoice.objects.filter(replaces=invoice).exists()
    assert_invariants(stripe)


def test_a_cancellation_racing_the_delivery_is_canceled_here_or_sent_never_both(stripe, clock):
    ends = set()
    for _ in range(8):
        office = delivered(stripe, clock)[0].office  # its customer is known, so that its next invoice can leave at once
        clock.forward(days=31)
        run_due(as_of=clock.at, actor=ACTOR, now=clock.at, office_reference=office.reference)
        invoice = Invoice.objects.get(office=office, status="draft", closed_at__isnull=False)
        correction = ask(invoice, K.CANCEL, now=clock.at)

        results = at_once([deciding(correction, BOB, now=clock.at), lambda: deliver_due(clock=clock)])

        refused = [each for each in results if isinstance(each, Exception)]
        assert all(isinstance(each, DeliveryUnderWay | InvoiceChanged) for each in refused), refused
        drain(clock)
        invoice.refresh_from_db()
        held = [each for each in stripe.objects("invoice") if each["metadata"]["invoice_id"] == str(invoice.pk)]
        assert (invoice.status, len(held)) == (("sent", 1) if refused else ("canceled", 0))
        ends.add(invoice.status)
        clock.at = utc("2026-03-20")
    assert_invariants(stripe)
    assert ends


def test_two_workers_at_once_void_and_replace_once(stripe, clock):
    invoices = [delivered(stripe, clock)[0] for _ in range(3)]
    corrections = [agreed(invoice, K.REPLACE, now=clock.at) for invoice in invoices]
    stripe.forget_requests()
    results = at_once([lambda: deliver_due(clock=clock)] * 4)
    drain(clock)

    assert [each for each in results if isinstance(each, Exception)] == []
    assert stripe.counts()["POST /v1/invoices/{id}/void"] == 3
    assert stripe.counts()["POST /v1/invoices"] == 3
    for correction in corrections:
        correction.refresh_from_db()
        assert correction.status == CorrectionStatus.DONE
    assert_invariants(stripe)


def test_a_busy_office_is_left_for_the_next_sweep(stripe, clock, monkeypatch):
    monkeypatch.setattr("offices.locking.LOCK_TIMEOUT", "200ms")
    busy, other = close_month(), close_month()
    for invoice in (busy, other):
        ask(invoice, K.CANCEL, now=utc("2026-01-01"))
    with held(lambda: lock_office(busy.office_id)):
        assert expire_corrections(actor=ACTOR, now=clock.at) == 1
    assert expire_corrections(actor=ACTOR, now=clock.at) == 1
