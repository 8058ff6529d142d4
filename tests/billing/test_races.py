"""Everything at once, on real connections: one line, one invoice, one Stripe invoice, and no error shown."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from billing import fail_points, stripe_events
from billing.activation import ActivationResult, activate_patient, deactivate_patient
from billing.billing_run import run_due
from billing.charges import Charge, SetupFeeAlreadyCharged, charge_office
from billing.delivery import deliver_due
from billing.delivery_steps import lease_next
from billing.fail_points import FailPoint
from billing.models import (
    ChargeReason,
    EventStatus,
    Invoice,
    InvoiceStatus,
    InvoiceType,
    LineItem,
    OutboxMessage,
    StripeEvent,
)
from offices import locking
from offices.locking import OfficeBusy, lock_office
from offices.models import Office, OfficeStripeAccount
from patients.models import ActivityPeriod
from sandbox.stripe_standin import Fault
from tests.billing.scenes import (
    CLOSED_AT,
    OPENED_AT,
    SharedClock,
    at_once,
    close_month,
    delivered,
    due_office,
    held,
    ring,
)
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.postgresql

BOUNDARY = utc("2026-03-15T04:00")  # midnight of the 15th in New York, in summer time by then


@pytest.fixture(autouse=True)
def no_hook_left():
    yield
    fail_points.install(None)


@postgresql
def test_two_hundred_activations_of_one_patient_make_one_line_and_no_error():
    office = make_office()
    patient = make_patient(office)

    def activate() -> ActivationResult:
        return activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=OPENED_AT)

    results = at_once([activate] * 200)

    assert [each for each in results if isinstance(each, Exception)] == []
    assert sum(result.changed for result in results) == 1
    assert LineItem.objects.filter(patient_reference=patient.pk).count() == 1
    assert ActivityPeriod.objects.filter(patient=patient).count() == 1
    assert_invariants()


@postgresql
def test_activations_and_deactivations_at_once_leave_one_line_and_periods_that_do_not_overlap():
    office = make_office()
    patient = make_patient(office)

    def act(number: int):
        use_case = deactivate_patient if number % 2 else activate_patient
        now = OPENED_AT + timedelta(seconds=number)
        return lambda: use_case(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=now)

    at_once([act(number) for number in range(60)])

    assert LineItem.objects.filter(patient_reference=patient.pk).count() == 1
    assert_invariants()


def activation_against_the_close(activated_at):
    """Race one activation with the run that closes the month; return the patient's lines by cycle."""
    office = due_office()
    patient = make_patient(office)
    results = at_once(
        [
            lambda: activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=activated_at),
            lambda: run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT, office_reference=office.reference),
        ]
    )
    assert [each for each in results if isinstance(each, Exception)] == []
    # What the racing run left (a busy office) the next one does.
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT, office_reference=office.reference)
    return {line.cycle_key: line for line in LineItem.objects.filter(patient_reference=patient.pk, live=True)}


@postgresql
def test_an_activation_racing_the_close_is_billed_in_exactly_one_cycle_and_never_on_a_closed_invoice():
    seen = set()
    for round_number in range(8):
        lines = activation_against_the_close(BOUNDARY - timedelta(hours=1))
        assert set(lines) == {"2026-02", "2026-03"}, f"round {round_number}"
        seen.add(lines["2026-02"].item_type)
        lines = activation_against_the_close(BOUNDARY + timedelta(hours=1))
        assert set(lines) == {"2026-03"}, f"round {round_number}"
    assert seen <= {"patient_activation", "adjustment"}
    assert_invariants()


@postgresql
@pytest.mark.parametrize(
    "seam", [FailPoint.RUN_CHUNK_LOCKED, FailPoint.RUN_LINES_INSERTED, FailPoint.RUN_MESSAGES_QUEUED]
)
def test_an_activation_that_comes_while_the_run_holds_the_office_becomes_an_adjustment(seam):
    office = due_office()
    patient = make_patient(office)
    done = []
    now = BOUNDARY - timedelta(hours=1)

    def activate() -> None:
        try:
            done.append(activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=now))
        finally:
            connection.close()

    thread = threading.Thread(target=activate)

    def let_the_activation_in(point: FailPoint) -> None:
        if point == seam and not thread.ident:
            thread.start()
            wait_until_somebody_waits_for_a_lock()

    fail_points.install(let_the_activation_in)
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    thread.join(10)

    assert done
    assert done[0].changed
    lines = {line.cycle_key: line.item_type for line in LineItem.objects.filter(patient_reference=patient.pk)}
    assert lines == {"2026-02": "adjustment", "2026-03": "active_patient"}
    assert_invariants()


def wait_until_somebody_waits_for_a_lock() -> None:
    """Return once another session of this database is really blocked; no clock decides, the server says so."""
    with connection.cursor() as cursor:
        for _ in range(10_000):
            cursor.execute(
                "SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waits")


@postgresql
def test_two_billing_runs_at_once_close_each_invoice_once_and_the_second_says_already_done():
    offices = [due_office() for _ in range(4)]

    def run():
        return run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)

    first, second = at_once([run, run])

    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert first.problems == second.problems == []
    counts = first.tally.counts + second.tally.counts
    assert counts["invoices_closed"] == counts["cycles_closed"] == counts["cycles_opened"] == len(offices)
    assert counts["already_done"] == len(offices)
    assert (
        Invoice.objects.filter(closed_at__isnull=False).count() == OutboxMessage.objects.filter(kind="invoice").count()
    )
    assert_invariants()


def test_a_second_run_adds_no_row_but_its_own_and_says_so():
    due_office()
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    tables = [Invoice, LineItem, OutboxMessage]
    before = [model.objects.count() for model in tables]

    summary = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)

    assert [model.objects.count() for model in tables] == before
    assert {name: count for name, count in summary.tally.counts.items() if count} == {"already_done": 1}


def test_two_deliveries_at_once_make_one_stripe_invoice_each_and_one_customer_for_each_office(stripe):
    for _ in range(4):
        due_office()
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    clock = SharedClock(CLOSED_AT, stripe)

    results = at_once([lambda: deliver_due(clock=clock)] * 2)
    deliver_due(clock=clock)  # an invoice whose customer the other worker was just making

    assert [each for each in results if isinstance(each, Exception)] == []
    assert len(stripe.objects("customer")) == OfficeStripeAccount.objects.count() == 4
    assert len(stripe.objects("invoice")) == 4
    assert not Invoice.objects.filter(closed_at__isnull=False).exclude(status=InvoiceStatus.SENT).exists()
    assert_invariants(stripe)


def test_eight_deliveries_at_once_write_no_more_than_one_would(stripe):
    for _ in range(6):
        due_office()
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    clock = SharedClock(CLOSED_AT, stripe)

    at_once([lambda: deliver_due(clock=clock)] * 8)
    deliver_due(clock=clock)

    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {1}  # none was taken from another worker
    assert stripe.writes() == 6 * (1 + 4)  # the customer; create, two items, finalize
    assert_invariants(stripe)


def test_a_setup_fee_charged_twice_at_once_is_one_invoice():
    office = make_office()
    charge = Charge(ChargeReason.SETUP_FEE, amount_cents=9900)

    results = at_once([lambda: charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=OPENED_AT)] * 6)

    assert sum(isinstance(each, Invoice) for each in results) == 1
    assert sum(isinstance(each, SetupFeeAlreadyCharged) for each in results) == 5
    assert Invoice.objects.filter(invoice_type=InvoiceType.SETUP_FEE).count() == 1
    assert_invariants()


def test_a_storm_of_events_with_two_processors_ends_where_stripe_is(stripe):
    clock = SharedClock(CLOSED_AT, stripe)
    sent = [delivered(stripe, clock) for _ in range(3)]
    for _invoice, stripe_id in sent:
        stripe.dashboard.decline(stripe_id)
        stripe.dashboard.pay_invoice(stripe_id)
    events = stripe.objects("event")

    storm = [lambda part=events[number::6]: ring(stripe, clock.at, events=part * 3) for number in range(6)]
    storm += [lambda: stripe_events.process_due(clock=clock)] * 2
    results = at_once(storm)

    assert [each for each in results if isinstance(each, Exception)] == []
    for _ in range(4):
        clock.forward(hours=7)
        at_once([lambda: stripe_events.process_due(clock=clock)] * 2)
    assert StripeEvent.objects.count() == len(events)
    assert set(StripeEvent.objects.values_list("status", flat=True)) == {EventStatus.DONE, EventStatus.IGNORED}
    for invoice, _stripe_id in sent:
        invoice.refresh_from_db()
        assert invoice.status == InvoiceStatus.PAID
    assert_invariants(stripe)


@postgresql
def test_processors_at_once_claim_each_event_once(stripe):
    clock = SharedClock(CLOSED_AT, stripe)
    _, stripe_id = delivered(stripe, clock)
    for _ in range(6):
        stripe.dashboard.decline(stripe_id)
        ring(stripe, clock.at)
        at_once([lambda: stripe_events.process_due(clock=clock)] * 6)
    assert set(StripeEvent.objects.values_list("attempts", flat=True)) == {1}


@postgresql
def test_a_message_that_another_worker_is_just_taking_is_passed_over():
    taken, other = close_month(), close_month()
    OutboxMessage.objects.filter(kind="customer", office=other.office).update(next_attempt_at=CLOSED_AT)
    row = OutboxMessage.objects.select_for_update().filter(kind="customer", office=taken.office)

    with held(lambda: list(row)):
        leased = lease_next(CLOSED_AT)
        assert leased.office_id == other.office_id
        assert lease_next(CLOSED_AT) is None
    assert lease_next(CLOSED_AT).office_id == taken.office_id


@postgresql
def test_events_that_another_processor_is_just_claiming_are_passed_over(stripe):
    clock = SharedClock(CLOSED_AT, stripe)
    delivered(stripe, clock)
    ring(stripe, clock.at)

    with held(lambda: list(StripeEvent.objects.select_for_update())):
        assert stripe_events.process_due(clock=clock).counts == {}
    assert stripe_events.process_due(clock=clock).counts["done"] > 0


@postgresql
def test_an_office_that_cannot_be_had_in_three_seconds_is_busy():
    office = make_office()
    patient = make_patient(office)
    assert locking.LOCK_TIMEOUT == "3s"

    with held(lambda: lock_office(office.pk)), pytest.raises(OfficeBusy):
        activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=OPENED_AT)

    assert not ActivityPeriod.objects.filter(patient=patient).exists()


@postgresql
def test_of_an_office_that_stays_busy_an_account_that_is_active_is_told_all_the_same(monkeypatch):
    monkeypatch.setattr(locking, "LOCK_TIMEOUT", "200ms")
    office = make_office()
    active, idle = make_patient(office, (utc("2026-01-02"), None)), make_patient(office)

    def activate(patient):
        return activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=OPENED_AT)

    with held(lambda: lock_office(office.pk)):
        assert not activate(active).changed
        with pytest.raises(OfficeBusy):
            activate(idle)


@postgresql
def test_the_run_leaves_a_busy_office_for_the_next_run_and_bills_the_others(monkeypatch):
    monkeypatch.setattr(locking, "LOCK_TIMEOUT", "200ms")
    busy, other = due_office(), due_office()

    with held(lambda: lock_office(busy.pk)):
        summary = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)

    assert [(problem.office, problem.code) for problem in summary.problems] == [(busy.reference, "office_busy")]
    assert not summary.needs_attention
    assert list(Invoice.objects.filter(closed_at__isnull=False).values_list("office", flat=True)) == [other.pk]
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    assert Invoice.objects.filter(office=busy, closed_at__isnull=False).count() == 1
    assert_invariants()


@postgresql
def test_a_busy_office_lets_its_message_wait_instead_of_parking_it(stripe, monkeypatch):
    monkeypatch.setattr(locking, "LOCK_TIMEOUT", "200ms")
    clock = SharedClock(CLOSED_AT, stripe)
    invoice = close_month()

    with held(lambda: lock_office(invoice.office_id)):
        summary = deliver_due(clock=clock)

    assert [(trouble.code, trouble.parked) for trouble in summary.troubles] == [("office_busy", False)]
    clock.forward(minutes=10)
    deliver_due(clock=clock)
    assert len(stripe.objects("customer")) == len(stripe.objects("invoice")) == 1
    assert_invariants(stripe)


@postgresql
def test_a_busy_office_lets_its_events_wait(stripe, monkeypatch):
    monkeypatch.setattr(locking, "LOCK_TIMEOUT", "200ms")
    clock = SharedClock(CLOSED_AT, stripe)
    invoice, stripe_id = delivered(stripe, clock)
    stripe.dashboard.pay_invoice(stripe_id)
    ring(stripe, clock.at)

    with held(lambda: lock_office(invoice.office_id)):
        assert stripe_events.process_due(clock=clock).counts["retry_later"] > 0
    clock.forward(minutes=1)
    stripe_events.process_due(clock=clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.PAID


@postgresql
@pytest.mark.parametrize("worker", ["delivery", "events"])
def test_a_doubtful_office_that_is_busy_too_does_not_stop_the_others(stripe, monkeypatch, worker):
    """It cannot be parked now: its message or event waits, and what comes after it is done."""
    monkeypatch.setattr(locking, "LOCK_TIMEOUT", "200ms")
    clock = SharedClock(CLOSED_AT, stripe)
    if worker == "delivery":
        doubtful, other = close_month(), close_month()
        stripe.script("POST /v1/invoices", [Fault.UNAVAILABLE] * 2)
        deliver_due(clock=clock)  # as far as the customers
        clock.forward(minutes=5)
        stripe.dashboard.delete_customer(OfficeStripeAccount.objects.get(office=doubtful.office).customer_id)
        work = deliver_due
    else:
        (doubtful, doubtful_id), (other, other_id) = delivered(stripe, clock), delivered(stripe, clock)
        stripe.dashboard.pay_invoice(other_id)
        ring(stripe, clock.at)
        stripe.dashboard.forget("invoice", doubtful_id)
        work = stripe_events.process_due

    with held(lambda: lock_office(doubtful.office_id)):
        work(clock=clock)
    other.refresh_from_db()
    assert other.status == (InvoiceStatus.SENT if worker == "delivery" else InvoiceStatus.PAID)
    clock.forward(hours=1)
    work(clock=clock)
    assert Office.objects.get(pk=doubtful.office_id).parked_at == clock.at
