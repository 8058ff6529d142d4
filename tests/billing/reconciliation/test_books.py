"""Who was active and who was charged: what is no difference, and what differs without Stripe knowing anything of it."""

import json
from datetime import timedelta

import pytest
from django.db import connection

from billing.activation import activate_patient, deactivate_patient
from billing.billing_run import run_due
from billing.models import BillingCycle, CorrectionKind, Discrepancy, Invoice, LineItem, OutboxMessage
from billing.models import DiscrepancyKind as Kind
from billing.office_terms import change_status
from offices.models import OfficeStatus
from patients.models import ActivityPeriod, Patient
from tests.billing.correction_scenes import agreed, wish
from tests.billing.reconciliation.plants import charged, cycle_of
from tests.billing.reconciliation.scene import found
from tests.billing.scenes import drain
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.tampering import execute, lift_rules


def test_a_backdated_end_is_no_difference(scene):
    cycle = cycle_of(scene)
    ends_at = cycle.start_at - timedelta(days=1)
    patient = Patient.objects.filter(office=cycle.office, periods__activated_at__lt=ends_at).first()
    deactivate_patient(
        office_id=cycle.office_id, patient_id=patient.pk, actor=ACTOR, now=scene.clock.at, deactivated_at=ends_at
    )
    scene.reconcile()
    assert found() == []


def test_a_backdated_activation_is_charged_at_once_and_no_difference(scene):
    cycle = cycle_of(scene)
    patient = make_patient(cycle.office)
    activate_patient(
        office_id=cycle.office_id, patient_id=patient.pk, actor=ACTOR, now=scene.clock.at, activated_at=cycle.start_at
    )
    assert LineItem.objects.filter(patient_reference=patient.pk, item_type="adjustment").exists()
    scene.reconcile()
    assert found() == []


def test_activity_while_the_office_was_not_live_is_no_difference(scene):
    office = scene.office
    change_status(office_id=office.pk, status=OfficeStatus.INACTIVE, actor=ACTOR, now=scene.clock.at)
    scene.later(days=70)
    change_status(office_id=office.pk, status=OfficeStatus.ACTIVE, actor=ACTOR, now=scene.clock.at)
    run_due(as_of=scene.clock.at, actor=ACTOR, now=scene.clock.at)
    scene.later(days=40)
    run_due(as_of=scene.clock.at, actor=ACTOR, now=scene.clock.at)
    assert BillingCycle.objects.filter(office=office, closed_at__isnull=False).count() > 1
    gap = BillingCycle.objects.filter(office=office, closed_at__isnull=False).order_by("index").first()
    make_patient(office, (gap.end_at + timedelta(days=40), gap.end_at + timedelta(days=41)))
    scene.reconcile(office_reference=office.reference)
    assert Kind.CHARGED_NEVER_ACTIVE not in {kind for kind, _subject in found()}
    assert Kind.ACTIVE_NOT_CHARGED not in {kind for kind, _subject in found()}


def test_a_waived_cycle_is_no_difference(scene):
    invoice = scene.sent()
    cycle = invoice.cycle
    scene.stripe.dashboard.void(invoice.stripe_invoice_id)
    scene.reconcile(repair=True)
    make_patient(invoice.office, (cycle.start_at, None))
    scene.reconcile()
    assert found() == []


def test_a_line_that_a_replacement_left_out_is_no_difference(scene):
    invoice = scene.sent()
    dropped = frozenset([invoice.line_items.first().pk])
    agreed(invoice, wish(CorrectionKind.REPLACE, dropped=dropped), now=scene.clock.at)
    drain(scene.clock)
    scene.reconcile()
    assert found() == []
    assert Invoice.objects.get(replaces=invoice).line_items.count() == invoice.line_items.count() - 1


def test_what_was_imported_after_the_close_is_told_as_waiting_until_the_next_close_charges_it(scene):
    cycle = cycle_of(scene)
    make_patient(cycle.office, (cycle.start_at, None))
    scene.reconcile()
    told = json.loads(Discrepancy.objects.get(kind=Kind.ACTIVE_NOT_CHARGED).ours)
    assert told == {"active_not_charged": 1, "waiting": 1}
    scene.later(days=31)
    run_due(as_of=scene.clock.at, actor=ACTOR, now=scene.clock.at)
    scene.reconcile()
    assert Kind.ACTIVE_NOT_CHARGED not in {kind for kind, _subject in found()}


def test_patients_are_counted_and_never_named(scene):
    cycle = cycle_of(scene)
    patients = [make_patient(cycle.office, (cycle.start_at, None)) for _ in range(3)]
    ActivityPeriod.objects.filter(office=cycle.office).first().delete()
    scene.reconcile()
    rows = str(list(Discrepancy.objects.values()))
    assert not [patient for patient in patients if str(patient.pk) in rows]
    assert '"active_not_charged":3' in rows


def test_a_trial_is_charged_nothing_and_no_difference(scene):
    office = make_office(status=OfficeStatus.TRIALING)
    make_patient(office, (utc("2026-01-02"), None))
    run_due(as_of=scene.clock.at, actor=ACTOR, now=scene.clock.at)
    scene.later(days=40)
    run_due(as_of=scene.clock.at, actor=ACTOR, now=scene.clock.at)
    scene.reconcile(office_reference=office.reference)
    assert Invoice.objects.filter(office=office, settlement_reason="trial").exists()
    assert found() == []


def test_a_line_whose_invoice_is_gone_is_a_charge_without_invoice(scene):
    line = LineItem.objects.filter(invoice__invoice_type="one_off").first()
    lift_rules("billing_lineitem")
    if connection.vendor == "postgresql":
        execute("SET CONSTRAINTS ALL DEFERRED")
    # Until the transaction ends the database lets the key point nowhere.
    LineItem.objects.filter(pk=line.pk).update(invoice="00000000-0000-4000-8000-000000000000")
    scene.reconcile()
    assert (Kind.CHARGE_WITHOUT_INVOICE, f"line:{line.pk}") in found()
    LineItem.objects.filter(pk=line.pk).update(invoice=line.invoice_id)


@pytest.mark.parametrize("code", ["superseded", ""])
def test_a_dead_message_that_left_nothing_undone_is_no_difference(scene, code):
    invoice = charged(scene)
    OutboxMessage.objects.filter(invoice=invoice).update(status="dead", error_code=code)
    if not code:
        Invoice.objects.filter(pk=invoice.pk).update(status="canceled")
        LineItem.objects.filter(invoice=invoice).update(live=False)
    scene.reconcile()
    assert found() == []
