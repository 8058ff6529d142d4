"""A backup is restored while Stripe keeps what it got: nothing of the lost time may be sent a second time."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction

from audit.checkpoints import make_checkpoint
from audit.models import AuditEntry
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.delivery import deliver_due, preview
from billing.models import ChargeReason, Invoice, InvoiceStatus, OutboxMessage, ParkedOffice, ParkingCode
from billing.restored_books import RestoreNotPossible, is_behind_anchors, note_restore
from sandbox.stripe_standin import Fault
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain, due_office
from tests.builders import ACTOR
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@contextlib.contextmanager
def lost_time() -> Iterator[None]:
    """What is done here reaches Stripe, and is gone from the database afterwards, as after a restore."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def noted(clock: SharedClock) -> None:
    """Note the restore an hour after the backup."""
    backup = clock.at
    clock.forward(hours=1)
    note_restore(restored_to=backup, actor=ACTOR, now=clock.at)


def at_stripe(stripe) -> list[str]:
    return [invoice["status"] for invoice in stripe.objects("invoice")]


def test_without_a_note_the_office_gets_its_invoice_twice(stripe, clock):
    """The fault itself: if this ever fails, the other tests prove nothing any more."""
    close_month()
    deliver_due(clock=clock, limit=1)
    with lost_time():
        drain(clock)
    drain(clock)
    assert at_stripe(stripe) == ["open", "open"]


@pytest.mark.parametrize("known", [0, 1], ids=["customer lost too", "customer known"])
def test_once_noted_what_was_sent_in_the_lost_time_is_found_and_not_sent_again(stripe, clock, known):
    invoice = close_month()
    if known:
        deliver_due(clock=clock, limit=1)
    with lost_time():
        drain(clock)
    stripe.forget_requests()
    noted(clock)

    drain(clock)

    assert at_stripe(stripe) == ["open"]
    assert len(stripe.objects("customer")) == 1
    assert not [request for request in stripe.counts() if request.startswith("POST")]
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    assert_invariants(stripe)


def test_a_month_that_was_closed_in_the_lost_time_is_closed_again_and_sent_once(stripe, clock):
    office = due_office()
    with lost_time():
        run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
        drain(clock)
    noted(clock)
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=clock.at)
    drain(clock)

    assert at_stripe(stripe) == ["open"]
    assert Invoice.objects.get(office=office, closed_at__isnull=False).status == InvoiceStatus.SENT


def test_what_stopped_half_way_in_the_lost_time_is_finished(stripe, clock):
    close_month()
    deliver_due(clock=clock, limit=1)
    with lost_time():
        stripe.script("POST /v1/invoices/{id}/finalize", [Fault.UNAVAILABLE])
        deliver_due(clock=clock)
    noted(clock)
    drain(clock)
    assert at_stripe(stripe) == ["open"]
    assert_invariants(stripe)


def test_a_month_that_stripe_knows_by_another_invoice_parks_its_office(stripe, clock):
    """The restored books had not even opened it: it has another id now, and the month must not be charged twice."""
    invoice = close_month()
    with lost_time():
        drain(clock)
    (held,) = stripe.objects("invoice")
    other = "00000000-0000-4000-8000-000000000000"
    stripe.dashboard.edit("invoice", held["id"], metadata=held["metadata"] | {"invoice_id": other})
    noted(clock)
    drain(clock)

    assert at_stripe(stripe) == ["open"]
    assert ParkedOffice.objects.get(office=invoice.office).code == ParkingCode.STRIPE_OBJECT_UNEXPECTED


def test_what_was_taken_back_in_the_lost_time_is_not_sent_again(stripe, clock):
    invoice = close_month()
    with lost_time():
        drain(clock)
    stripe.dashboard.void(stripe.objects("invoice")[0]["id"])
    noted(clock)
    drain(clock)

    assert at_stripe(stripe) == ["void"]
    assert ParkedOffice.objects.get(office=invoice.office).code == ParkingCode.STRIPE_OBJECT_UNEXPECTED


def test_what_did_not_exist_before_the_restore_costs_no_look(stripe, clock):
    invoice = close_month()
    drain(clock)
    noted(clock)
    clock.forward(hours=1)
    stripe.forget_requests()
    charge_office(office_id=invoice.office_id, charge=Charge(ChargeReason.TRAINING, 5_000), actor=ACTOR, now=clock.at)
    drain(clock)
    assert stripe.counts()["GET /v1/invoices/{id}"] == 1
    assert "GET /v1/invoices" not in stripe.counts()


def test_delivery_stands_still_while_the_anchors_know_more_than_the_database(stripe, clock, settings, tmp_path):
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    close_month()
    with lost_time():
        make_checkpoint(now=clock.at)
    assert deliver_due(clock=clock).stands_still
    assert preview(clock=clock).stands_still
    assert not stripe.objects("customer")
    assert not OutboxMessage.objects.filter(attempts__gt=0).exists()

    noted(clock)

    assert [path.name for path in tmp_path.iterdir()] == ["anchors.jsonl.until-20260320T010000Z"]
    drain(clock)
    assert at_stripe(stripe) == ["open"]


def test_a_note_is_on_record_and_a_rehearsal_leaves_nothing(stripe, clock, settings, tmp_path):
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    close_month()
    with lost_time():
        make_checkpoint(now=clock.at)
    noted_at = clock.at + timedelta(hours=1)
    note_restore(restored_to=clock.at, actor=ACTOR, now=noted_at, dry_run=True)
    assert is_behind_anchors()
    assert not AuditEntry.objects.filter(stream="books:restored").exists()
    with pytest.raises(RestoreNotPossible):
        note_restore(restored_to=noted_at + timedelta(seconds=1), actor=ACTOR, now=noted_at)
    noted(clock)
    entry = AuditEntry.objects.get(stream="books:restored")
    assert (entry.action, entry.payload) == ("books.restored", '{"restored_to":"2026-03-20T00:00:00.000000Z"}')
