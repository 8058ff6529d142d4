"""Activating and deactivating a patient account, with what it means for the bill (product.md rules 2, 3, 5)."""

import pytest

from audit.models import AuditEntry
from billing.activation import (
    OfficeNotBillable,
    PatientNotFound,
    PeriodEmpty,
    PeriodsOverlap,
    TimeInFuture,
    activate_patient,
    deactivate_patient,
)
from billing.billing_run import run_due
from billing.models import BillingCycle, Invoice, InvoiceStatus, LineItem
from billing.office_terms import change_status
from offices.models import OfficeStatus
from patients.models import ActivityPeriod
from tests.builders import ACTOR, make_office, make_patient, utc

pytestmark = pytest.mark.django_db

JANUARY, FEBRUARY, MARCH = utc("2026-01-20"), utc("2026-02-20"), utc("2026-03-20")


def activate(patient, now, activated_at=None):
    return activate_patient(
        office_id=patient.office_id, patient_id=patient.pk, actor=ACTOR, now=now, activated_at=activated_at
    )


def deactivate(patient, now, deactivated_at=None):
    return deactivate_patient(
        office_id=patient.office_id, patient_id=patient.pk, actor=ACTOR, now=now, deactivated_at=deactivated_at
    )


def run(now):
    return run_due(as_of=now, actor=ACTOR, now=now)


def lines_of(patient):
    return [
        (line.item_type, line.cycle_key, line.unit_price_cents)
        for line in LineItem.objects.filter(patient_reference=patient.pk).order_by("created_at", "cycle_key")
    ]


def test_an_activation_is_charged_at_once_on_the_open_monthly_invoice():
    patient = make_patient(make_office())

    result = activate(patient, JANUARY)

    (line,) = result.lines
    assert (line.item_type, line.cycle_key, line.unit_price_cents) == ("patient_activation", "2026-01", 200)
    assert line.invoice.status == InvoiceStatus.DRAFT
    assert line.invoice.cycle.key == "2026-01"


def test_activating_an_active_patient_changes_nothing_and_says_so():
    patient = make_patient(make_office())
    activate(patient, JANUARY)

    again = activate(patient, utc("2026-01-21"))

    assert not again.changed
    assert again.lines == ()
    assert ActivityPeriod.objects.filter(patient=patient).count() == 1
    assert len(lines_of(patient)) == 1


def test_reactivation_in_the_same_cycle_is_not_billed_twice():
    patient = make_patient(make_office())
    activate(patient, JANUARY)
    deactivate(patient, utc("2026-01-22"))

    result = activate(patient, utc("2026-01-25"))

    assert result.changed
    assert result.lines == ()
    assert len(lines_of(patient)) == 1


def test_deactivation_takes_no_line_away_but_ends_the_carry_over():
    patient = make_patient(make_office())
    activate(patient, JANUARY)

    assert deactivate(patient, utc("2026-01-22"))
    run(FEBRUARY)

    assert lines_of(patient) == [("patient_activation", "2026-01", 200)]


def test_there_is_no_proration_a_single_day_costs_the_whole_month():
    patient = make_patient(make_office())
    activate(patient, utc("2026-02-14T12:00"))  # the last day of the cycle that began on 15 January
    deactivate(patient, utc("2026-02-14T13:00"))

    assert lines_of(patient) == [("patient_activation", "2026-01", 200)]


def test_a_patient_still_active_is_carried_over_at_the_cycles_start():
    patient = make_patient(make_office())
    activate(patient, JANUARY)

    run(FEBRUARY)

    assert lines_of(patient) == [("patient_activation", "2026-01", 200), ("active_patient", "2026-02", 200)]


def test_activation_exactly_at_the_start_is_an_activation():
    office = make_office()
    start = utc("2026-02-15T05:00")  # midnight in New York
    patient = make_patient(office)

    activate(patient, start)

    assert lines_of(patient) == [("patient_activation", "2026-02", 200)]


def test_periods_that_touch_at_the_start_count_as_one():
    office = make_office()
    start = utc("2026-02-15T05:00")
    patient = make_patient(office, (JANUARY, start), (start, None))

    run(FEBRUARY)

    assert lines_of(patient) == [("active_patient", "2026-02", 200)]


def test_a_backdated_activation_becomes_an_adjustment_for_the_closed_cycle():
    office = make_office()
    patient = make_patient(office)
    run(JANUARY)
    run(FEBRUARY)

    result = activate(patient, FEBRUARY, activated_at=JANUARY)

    assert [(line.item_type, line.cycle_key, line.invoice.cycle.key) for line in result.lines] == [
        ("adjustment", "2026-01", "2026-02"),
        ("active_patient", "2026-02", "2026-02"),
    ]
    assert Invoice.objects.get(cycle__key="2026-01").total_cents == 0  # the closed one is as it was


def test_a_backdated_activation_charges_nothing_before_the_offices_first_cycle():
    patient = make_patient(make_office())

    activate(patient, MARCH, activated_at=utc("2025-06-01"))

    assert lines_of(patient) == [("active_patient", "2026-03", 200)]


def test_a_cycle_whose_invoice_was_canceled_without_replacement_is_waived():
    office = make_office()
    run(JANUARY)
    Invoice.objects.update(status=InvoiceStatus.CANCELED)
    run(FEBRUARY)
    patient = make_patient(office)

    result = activate(patient, FEBRUARY, activated_at=JANUARY)

    assert result.waived_cycles == ("2026-01",)
    assert lines_of(patient) == [("active_patient", "2026-02", 200)]


def test_activation_after_a_boundary_and_before_the_run_bills_in_the_new_cycle_without_carry_over():
    office = make_office()
    carried, fresh = make_patient(office), make_patient(office)
    activate(carried, JANUARY)

    activate(fresh, FEBRUARY)

    assert lines_of(fresh) == [("patient_activation", "2026-02", 200)]
    assert lines_of(carried) == [("patient_activation", "2026-01", 200)]
    assert BillingCycle.objects.filter(closed_at__isnull=True).count() == 2
    run(FEBRUARY)
    assert lines_of(carried)[1:] == [("active_patient", "2026-02", 200)]
    assert lines_of(fresh) == [("patient_activation", "2026-02", 200)]


@pytest.mark.parametrize("status", [OfficeStatus.CANCELED, OfficeStatus.INACTIVE])
def test_activation_is_refused_for_an_office_that_is_not_live(status):
    patient = make_patient(make_office(status=status))

    with pytest.raises(OfficeNotBillable):
        activate(patient, JANUARY)

    assert not ActivityPeriod.objects.exists()


def test_deactivation_is_allowed_for_a_canceled_office():
    office = make_office()
    patient = make_patient(office)
    activate(patient, JANUARY)
    change_status(office_id=office.pk, status=OfficeStatus.CANCELED, actor=ACTOR, now=utc("2026-01-21"))

    assert deactivate(patient, utc("2026-01-22"))


def test_times_in_the_future_overlaps_and_empty_periods_are_refused():
    patient = make_patient(make_office())
    with pytest.raises(TimeInFuture):
        activate(patient, JANUARY, activated_at=FEBRUARY)
    activate(patient, JANUARY)
    with pytest.raises(TimeInFuture):
        deactivate(patient, utc("2026-01-21"), deactivated_at=FEBRUARY)
    with pytest.raises(PeriodEmpty):
        deactivate(patient, utc("2026-01-21"), deactivated_at=JANUARY)
    deactivate(patient, utc("2026-01-25"))
    with pytest.raises(PeriodsOverlap):
        activate(patient, utc("2026-01-26"), activated_at=utc("2026-01-24"))


def test_deactivating_an_inactive_patient_changes_nothing():
    assert deactivate(make_patient(make_office()), JANUARY) is False


def test_a_patient_of_another_office_is_not_found():
    patient, other = make_patient(make_office()), make_office()

    with pytest.raises(PatientNotFound):
        activate_patient(office_id=other.pk, patient_id=patient.pk, actor=ACTOR, now=JANUARY)


def test_each_change_writes_one_audit_entry_and_a_refusal_none():
    office = make_office()
    patient = make_patient(office)
    activate(patient, JANUARY)
    activate(patient, JANUARY)
    deactivate(patient, utc("2026-01-22"))
    with pytest.raises(TimeInFuture):
        activate(patient, JANUARY, activated_at=FEBRUARY)

    actions = AuditEntry.objects.filter(stream=f"office:{office.reference}").order_by("seq")
    assert list(actions.values_list("action", flat=True)) == [
        "cycle.opened",
        "patient.activated",
        "patient.deactivated",
    ]


def test_backdated_deactivation_keeps_the_line_and_the_close_agrees():
    office = make_office()
    patient = make_patient(office)
    activate(patient, JANUARY)
    run(FEBRUARY)  # carried over on 15 February
    deactivate(patient, utc("2026-02-21"), deactivated_at=utc("2026-02-01"))

    summary = run(MARCH)

    assert summary.problems == []
    assert lines_of(patient) == [("patient_activation", "2026-01", 200), ("active_patient", "2026-02", 200)]


def test_a_line_of_a_cycle_that_was_opened_ahead_of_time_is_kept_and_the_close_agrees():
    office = make_office()
    patient = make_patient(office)
    activate(patient, JANUARY)
    run_due(as_of=FEBRUARY, actor=ACTOR, now=utc("2026-01-21"))  # opens February and carries over, in January
    deactivate(patient, utc("2026-01-22"))

    summary = run(MARCH)

    assert summary.problems == []
    assert lines_of(patient) == [("patient_activation", "2026-01", 200), ("active_patient", "2026-02", 200)]


def test_only_the_account_itself_is_charged_for_a_closed_cycle_and_not_who_else_came_late():
    office = make_office()
    patient = make_patient(office)
    run(JANUARY)
    run(FEBRUARY)
    imported = make_patient(office, (JANUARY, None))

    activate(patient, FEBRUARY, activated_at=JANUARY)

    assert lines_of(imported) == []  # the run's to charge


def test_a_period_that_was_imported_for_a_closed_cycle_waits_for_the_run_and_not_for_an_activation():
    office = make_office()
    run(JANUARY)
    run(FEBRUARY)
    patient = make_patient(office, (JANUARY, utc("2026-01-25")))

    result = activate(patient, FEBRUARY)

    assert [(line.item_type, line.cycle_key) for line in result.lines] == [("patient_activation", "2026-02")]
    run(utc("2026-03-20"))
    assert LineItem.objects.get(item_type="adjustment").cycle_key == "2026-01"


def test_an_ordinary_activation_asks_a_dozen_statements(django_assert_max_num_queries):
    office = make_office()
    activate(make_patient(office), JANUARY)  # opens the cycle
    patient = make_patient(office)

    with django_assert_max_num_queries(12):  # on PostgreSQL; savepoints and the lock's time limit among them
        activate(patient, JANUARY)
