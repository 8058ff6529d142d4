"""A month is signed by two people when nothing blocks it, and locked from then on."""

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from audit.models import AuditEntry
from billing.activation import activate_patient
from billing.billing_run import run_due
from billing.models import (
    BillingCycle,
    Correction,
    Discrepancy,
    Invoice,
    InvoiceStatus,
    ItemType,
    LineItem,
    MonthClose,
    ReconciliationRun,
)
from billing.month_close import (
    CheckCode,
    MonthAlreadyLocked,
    MonthNotReady,
    SecondPersonNeeded,
    checks,
    sign_month,
)
from billing.parking import park_office
from billing.rebuilt_books.check import keep_findings
from offices.models import OfficeStatus, OfficeStatusChange
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, drain, hear
from tests.builders import ACTOR, make_patient, utc
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db

LATER = CLOSED_AT + timedelta(days=2)


@pytest.fixture
def clock(stripe) -> SharedClock:
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def invoice(stripe, clock) -> Invoice:
    return delivered(stripe, clock)[0]


@pytest.fixture
def key(invoice) -> str:
    return invoice.cycle.key


@pytest.fixture
def reconciled(invoice) -> ReconciliationRun:
    return finished_run()


def finished_run(**fields) -> ReconciliationRun:
    window = {"window_from": utc("2026-01-01"), "window_until": LATER}
    values = {"actor": ACTOR, "started_at": LATER, "finished_at": LATER, "phase": "done"} | window | fields
    return ReconciliationRun.objects.create(**values)


def is_locked(key: str) -> bool:
    return MonthClose.objects.filter(key=key, locked_at__isnull=False).exists()


def sign(key: str, actor: str) -> MonthClose:
    return sign_month(key=key, actor=actor, now=LATER)


def blocking(key: str) -> set[str]:
    return {check.code for check in checks(key, now=LATER) if check.blocks}


def lock(key: str) -> None:
    sign(key, "ann")
    sign(key, "bob")


def test_two_people_sign_and_the_month_is_locked(key, reconciled):
    first = sign(key, "ann")
    assert (first.locked_at, is_locked(key)) == (None, False)

    second = sign(key, "bob")
    assert (second.first_signed_by, second.second_signed_by, second.locked_at) == ("ann", "bob", LATER)
    assert is_locked(key)
    assert json.loads(second.signed) == {"invoices": 1, "total_cents": {"USD": 400}}
    actions = AuditEntry.objects.filter(stream="billing:months").order_by("seq").values_list("action", "actor")
    assert list(actions) == [("month.signed", "ann"), ("month.locked", "bob")]
    assert_invariants()


def test_one_person_cannot_sign_twice(key, reconciled):
    sign(key, "ann")
    with pytest.raises(SecondPersonNeeded):
        sign(key, "ann")
    assert not is_locked(key)


def test_a_locked_month_is_not_signed_again(key, reconciled):
    lock(key)
    with pytest.raises(MonthAlreadyLocked):
        sign(key, "cid")


def test_what_changed_after_the_first_signature_has_to_be_signed_anew(key, invoice, reconciled):
    sign(key, "ann")
    MonthClose.objects.update(signed='{"invoices": 2, "total_cents": {"USD": 800}}')

    again = sign(key, "bob")
    assert (again.first_signed_by, again.locked_at) == ("bob", None)
    assert sign(key, "ann").locked_at == LATER


def test_nothing_blocks_a_month_that_is_sent_and_reconciled(key, reconciled):
    assert blocking(key) == set()
    assert {check.code for check in checks(key, now=LATER)} == set(CheckCode)


def test_a_month_without_cycles_is_not_signed():
    finished_run()
    assert CheckCode.NO_CYCLES in blocking("2020-01")


def test_a_reconciliation_before_the_close_or_of_one_office_does_not_count(key, invoice):
    finished_run(started_at=CLOSED_AT - timedelta(days=1))
    finished_run(office=invoice.office)
    finished_run(cycle_key="2020-01")
    finished_run(finished_at=None, phase="compare")
    assert blocking(key) == {CheckCode.NOT_RECONCILED}


def test_what_compared_nothing_of_the_month_or_kept_nothing_does_not_count(key):
    finished_run(dry_run=True)
    finished_run(since=CLOSED_AT + timedelta(days=1))
    keep_findings(actor=ACTOR, now=LATER)
    assert blocking(key) == {CheckCode.NOT_RECONCILED}
    finished_run(since=CLOSED_AT)
    assert blocking(key) == set()


def plant_open_cycle(invoice: Invoice) -> None:
    cycle = invoice.cycle
    after = {"start_at": cycle.end_at + timedelta(days=900), "end_at": cycle.end_at + timedelta(days=930)}
    again = BillingCycle.objects.get(pk=cycle.pk)
    again.pk, again.office_id, again.index = None, another_office().pk, 50
    again.closed_at = again.last_period_id = again.patient_count = None
    again.start_at, again.end_at = after["start_at"], after["end_at"]
    again.save(force_insert=True)


def another_office():
    from tests.builders import make_office

    return make_office()


def plant_parked_office(invoice: Invoice) -> None:
    park_office(office_id=invoice.office_id, code="unexpected_error", actor=ACTOR, now=LATER)


def plant_discrepancy(invoice: Invoice) -> None:
    values = {"kind": "total", "subject": "invoice:1", "repair": "look", "cycle_key": invoice.cycle.key}
    Discrepancy.objects.create(run=ReconciliationRun.objects.get(), found_at=LATER, last_seen_at=LATER, **values)


def plant_correction(invoice: Invoice) -> None:
    values = {"kind": "credit", "reason": "goodwill", "amount_cents": 100, "invoice_version": 1}
    times = {"requested_at": LATER, "expires_at": LATER + timedelta(days=7)}
    Correction.objects.create(invoice=invoice, requested_by="ann", **values, **times)


def plant_unsent_invoice(invoice: Invoice) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(status=InvoiceStatus.DRAFT)


PLANTS = {
    CheckCode.CYCLES_NOT_CLOSED: plant_open_cycle,
    CheckCode.OFFICES_PARKED: plant_parked_office,
    CheckCode.DISCREPANCIES_OPEN: plant_discrepancy,
    CheckCode.CORRECTIONS_OPEN: plant_correction,
    CheckCode.INVOICES_NOT_SENT: plant_unsent_invoice,
}


@pytest.mark.parametrize("code", PLANTS)
def test_each_thing_that_is_not_in_order_blocks_the_signature(code, key, invoice, reconciled):
    PLANTS[code](invoice)
    with pytest.raises(MonthNotReady) as refusal:
        sign(key, "ann")
    assert code in {check.code for check in refusal.value.blocking}
    assert not MonthClose.objects.exists()


def test_an_office_that_the_run_has_not_reached_blocks_every_month(key, reconciled):
    late = LATER + timedelta(days=40)
    assert CheckCode.OFFICES_DUE in {check.code for check in checks(key, now=late) if check.blocks}


def test_a_parked_office_that_has_no_cycle_of_the_month_yet_blocks_it(key, reconciled):
    other = another_office()  # live, and stopped before the run could open its month
    park_office(office_id=other.pk, code="unexpected_error", actor=ACTOR, now=LATER)
    assert not BillingCycle.objects.filter(office=other).exists()
    assert blocking(key) == {CheckCode.OFFICES_PARKED}


def test_a_parked_office_for_which_nothing_is_to_be_done_blocks_no_month(key, reconciled):
    gone = another_office()
    OfficeStatusChange.objects.filter(office=gone).update(status=OfficeStatus.CANCELED)
    park_office(office_id=gone.pk, code="unexpected_error", actor=ACTOR, now=LATER)
    assert blocking(key) == set()


# --- The lock ---
def refused(act) -> None:
    with pytest.raises(IntegrityError, match="month_locked"), transaction.atomic():
        act()


def test_the_database_refuses_what_is_dated_in_a_locked_month(key, invoice, reconciled):
    lock(key)
    cycle = invoice.cycle
    refused(lambda: BillingCycle.objects.filter(pk=cycle.pk).update(patient_count=9))
    refused(lambda: Invoice.objects.filter(pk=invoice.pk).update(status=InvoiceStatus.CANCELED))
    fields = {"invoice_type": "monthly", "currency": "USD", "created_at": LATER, "updated_at": LATER}
    refused(lambda: Invoice.objects.create(office=invoice.office, cycle=cycle, **fields))
    other = BillingCycle.objects.get(pk=cycle.pk)
    other.pk, other.office = None, another_office()
    refused(lambda: other.save(force_insert=True))


def test_the_signatures_of_a_locked_month_never_change(key, reconciled):
    lock(key)
    for act in (
        lambda: MonthClose.objects.update(second_signed_by="cid"),
        lambda: MonthClose.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError, match="month_close_frozen"), transaction.atomic():
            act()


def test_a_signed_but_not_locked_month_goes_on(key, invoice, reconciled):
    sign(key, "ann")
    Invoice.objects.filter(pk=invoice.pk).update(status=InvoiceStatus.CANCELED)


def test_payments_of_a_locked_month_still_come_in(stripe, clock, key, invoice, reconciled):
    lock(key)
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    hear(stripe, clock)
    assert Invoice.objects.get(pk=invoice.pk).status == InvoiceStatus.PAID
    assert_invariants(stripe)


def test_a_void_at_stripe_after_the_lock_leaves_our_books_and_parks_nobody(stripe, clock, key, invoice, reconciled):
    lock(key)
    stripe.dashboard.void(invoice.stripe_invoice_id)
    hear(stripe, clock)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.office.parked_at) == (InvoiceStatus.SENT, None)


def test_late_activity_of_a_locked_month_becomes_an_adjustment_of_the_open_one(stripe, clock, key, invoice, reconciled):
    lock(key)
    patient = make_patient(invoice.office)
    within = invoice.cycle.start_at + timedelta(days=3)
    activate_patient(office_id=invoice.office_id, patient_id=patient.pk, actor=ACTOR, now=LATER, activated_at=within)
    late = LineItem.objects.get(patient_reference=patient.pk, cycle_key=key)
    assert (late.item_type, late.invoice.cycle.key > key) == (ItemType.ADJUSTMENT, True)


def test_the_next_month_runs_and_is_sent_while_the_last_is_locked(stripe, clock, key, invoice, reconciled):
    lock(key)
    clock.forward(days=40)
    summary = run_due(as_of=clock.at, actor=ACTOR, now=clock.at)
    drain(clock)
    assert (summary.needs_attention, summary.tally.counts["invoices_closed"]) == (False, 1)
    assert set(Invoice.objects.filter(closed_at__isnull=False).values_list("status", flat=True)) == {"sent"}
    assert_invariants(stripe)
