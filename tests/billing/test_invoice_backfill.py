"""A backfill makes drafts of past cycles, leaves the present bills alone, and says where old bills differ."""

import json
from datetime import date
from io import StringIO

import pytest
from django.core.management import call_command

from audit.models import AuditEntry
from billing.activation import activate_patient
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.invoice_backfill import MonthsReversed, backfill_invoices
from billing.models import (
    BillingCycle,
    ChargeReason,
    Invoice,
    InvoiceOrigin,
    LineItem,
    MonthClose,
    OutboxMessage,
    ParkedOffice,
)
from billing.monthly_invoice import ensure_open_invoice
from billing.office_terms import AnchorFixed, change_anchor, change_status, change_zone, override_price
from offices.locking import OfficeNotFound
from offices.models import OfficeStatus, OfficeStatusChange, Plan, PlanPrice
from patients.models import ActivityPeriod
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.invariants import assert_invariants
from tests.tampering import lift_rules

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-20")
QUARTER = ("2025-10", "2025-12")


def backfill(months=QUARTER, now=NOW, **options):
    return backfill_invoices(months=months, actor=ACTOR, now=now, **options)


def drafts(office):
    return Invoice.objects.filter(office=office, origin=InvoiceOrigin.BACKFILL).order_by("cycle__index")


def lines(office, key):
    charged = LineItem.objects.filter(invoice__office=office, cycle_key=key, live=True)
    return sorted(charged.values_list("item_type", "unit_price_cents"))


def test_past_cycles_become_drafts_with_the_lines_of_their_activity():
    office = make_office()
    make_patient(office, (utc("2025-10-20"), utc("2025-12-01")))
    make_patient(office, (utc("2025-01-02"), None))

    summary = backfill()

    assert summary.run.tally.counts["cycles_opened"] == 3
    assert [draft.cycle.key for draft in drafts(office)] == ["2025-10", "2025-11", "2025-12"]
    assert [draft.cycle.index for draft in drafts(office)] == [-3, -2, -1]
    assert {draft.status for draft in drafts(office)} == {"draft"}
    assert not drafts(office).filter(closed_at__isnull=False).exists()
    assert lines(office, "2025-10") == [("active_patient", 200), ("patient_activation", 200)]
    assert lines(office, "2025-11") == [("active_patient", 200), ("active_patient", 200)]
    assert lines(office, "2025-12") == [("active_patient", 200)]
    assert not OutboxMessage.objects.exists()
    assert_invariants()


def test_a_second_backfill_adds_nothing_and_a_wider_one_only_what_is_missing():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    backfill()
    entries = AuditEntry.objects.count()

    again = backfill().run.tally.counts
    assert (again["cycles_opened"], again["lines_added"]) == (0, 0)
    assert AuditEntry.objects.count() == entries

    wider = backfill(("2025-09", "2026-02")).run.tally.counts
    assert (wider["cycles_opened"], wider["not_ended"]) == (3, 0 if utc("2026-03-15") < NOW else 1)
    assert_invariants()  # the cycles touch


def test_only_ended_cycles_are_backfilled():
    make_office()
    counts = backfill(("2026-02", "2026-05")).run.tally.counts
    assert counts["cycles_opened"] == 1  # 15 February to 15 March
    assert counts["not_ended"] == 3


def test_the_run_and_activations_leave_the_drafts_alone_until_they_are_closed():
    office = make_office()
    patient = make_patient(office)
    make_patient(office, (utc("2025-01-02"), None))
    backfill()
    charged = list(LineItem.objects.filter(invoice__in=drafts(office)))

    activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=NOW, activated_at=utc("2025-11-20"))
    run_due(as_of=NOW, actor=ACTOR, now=NOW)
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))

    assert list(LineItem.objects.filter(invoice__in=drafts(office))) == charged
    assert not drafts(office).filter(closed_at__isnull=False).exists()
    assert not LineItem.objects.filter(cycle_key__lt="2026-01").exclude(invoice__in=drafts(office)).exists()
    opened = ensure_open_invoice(office_id=office.pk, actor=ACTOR, now=utc("2026-04-20"))
    assert opened.invoice.cycle.key == "2026-04"


def test_closing_charges_what_became_known_since_the_draft_and_queues_the_invoices():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    backfill()
    make_patient(office, (utc("2025-11-20"), utc("2025-11-25")))

    summary = backfill(close=True)

    assert summary.run.tally.billed == {"USD": 4 * 200}
    assert [draft.total_cents for draft in drafts(office)] == [200, 400, 200]
    assert OutboxMessage.objects.filter(kind="invoice").count() == 3
    again = backfill(close=True).run.tally
    assert (again.counts["cycles_closed"], again.billed) == (0, {})
    assert_invariants()


def test_what_a_closed_backfill_missed_is_adjusted_once_on_the_open_invoice():
    office = make_office()
    charged = make_patient(office, (utc("2025-01-02"), utc("2025-11-20")))
    late = make_patient(office)
    backfill(("2025-10", "2026-02"), close=True)

    activate_patient(office_id=office.pk, patient_id=late.pk, actor=ACTOR, now=NOW, activated_at=utc("2025-12-20"))
    make_patient(office)
    ActivityPeriod.objects.create(patient=charged, office=office, activated_at=utc("2025-11-25"))
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))

    adjusted = LineItem.objects.filter(item_type="adjustment").values_list("patient_reference", "cycle_key")
    assert sorted(key for patient, key in adjusted if patient == late.pk) == ["2025-12", "2026-01", "2026-02"]
    # November is charged already.
    assert sorted(key for patient, key in adjusted if patient == charged.pk) == ["2025-12", "2026-01", "2026-02"]
    assert not backfill().run.tally.counts["lines_added"]
    assert_invariants()


def test_cycles_from_the_offices_own_first_one_on_are_the_runs():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    run_due(as_of=utc("2026-01-20"), actor=ACTOR, now=utc("2026-01-20"))

    counts = backfill(("2025-12", "2026-02")).run.tally.counts

    assert (counts["cycles_opened"], counts["left_to_the_run"]) == (1, 1)
    run_due(as_of=NOW, actor=ACTOR, now=NOW)
    assert list(BillingCycle.objects.order_by("index").values_list("key", flat=True)) == [
        "2025-12", "2026-01", "2026-02", "2026-03",
    ]  # fmt: skip
    assert_invariants()


def test_the_first_cycle_of_an_office_stays_the_one_of_its_first_run():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    backfill()

    run_due(as_of=NOW, actor=ACTOR, now=NOW)

    own = BillingCycle.objects.exclude(invoices__origin=InvoiceOrigin.BACKFILL)
    assert [cycle.key for cycle in own] == ["2026-03"]
    assert not Invoice.objects.filter(closed_at__isnull=False).exists()


def test_a_backfill_fixes_the_anchor():
    office = make_office()
    backfill()
    office.refresh_from_db()
    assert office.first_cycle_opened_at == NOW
    with pytest.raises(AnchorFixed):
        change_anchor(office_id=office.pk, anchor=date(2026, 1, 1), actor=ACTOR, now=NOW)
    run_due(as_of=NOW, actor=ACTOR, now=utc("2026-03-21"))
    office.refresh_from_db()
    assert office.first_cycle_opened_at == NOW


def test_the_terms_are_those_of_the_cycles_start():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    PlanPrice.objects.create(
        plan=Plan.objects.get(code="standard"), effective_on=date(2025, 11, 15), unit_price_cents=300
    )
    override_price(
        office_id=office.pk, unit_price_cents=90, starts_on=date(2025, 12, 1), ends_on=date(2026, 1, 1),
        reason="agreed", actor=ACTOR, now=NOW,
    )  # fmt: skip
    backfill()
    assert [draft.cycle.unit_price_cents for draft in drafts(office)] == [200, 300, 90]


def test_a_trial_is_settled_at_nothing_when_it_is_closed():
    office = make_office(status=OfficeStatus.TRIALING)
    make_patient(office, (utc("2025-01-02"), None))
    backfill(close=True)
    assert {(i.status, i.total_cents, i.settlement_reason) for i in drafts(office)} == {("paid", 0, "trial")}
    assert not OutboxMessage.objects.exists()


def test_cycles_in_which_the_office_was_not_live_stay_out():
    office = make_office(status=OfficeStatus.INACTIVE)
    make_patient(office, (utc("2025-01-02"), None))
    OfficeStatusChange.objects.create(office=office, status=OfficeStatus.ACTIVE, effective_at=utc("2025-11-20"))
    counts = backfill().run.tally.counts
    assert (counts["cycles_opened"], counts["not_live"]) == (2, 1)
    assert lines(office, "2025-10") == []


def test_neighbouring_backfills_and_the_first_cycle_touch_across_a_change_of_zone():
    office = make_office(zone="Asia/Tokyo")
    change_zone(office_id=office.pk, timezone="America/Los_Angeles", actor=ACTOR, now=utc("2025-11-03"))
    for months in (("2025-12", "2026-01"), ("2025-09", "2025-10"), ("2025-11", "2025-11"), ("2026-02", "2026-02")):
        backfill(months)
    run_due(as_of=NOW, actor=ACTOR, now=NOW)
    cycles = list(BillingCycle.objects.filter(office=office).order_by("index"))
    assert [cycle.key for cycle in cycles] == [
        "2025-09",
        "2025-10",
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
        "2026-03",
    ]
    assert [cycle.start_at for cycle in cycles[1:]] == [cycle.end_at for cycle in cycles[:-1]]
    assert [cycle.zone for cycle in cycles] == ["Asia/Tokyo"] * 2 + ["America/Los_Angeles"] * 5


def test_a_dry_run_tells_the_same_and_writes_nothing():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    told = backfill(close=True, dry_run=True).run.tally
    assert not BillingCycle.objects.exists()
    assert not AuditEntry.objects.exists()
    done = backfill(close=True).run.tally
    assert (told.counts, told.billed) == (done.counts, done.billed)


def test_an_office_in_doubt_is_left_out_and_not_parked():
    broken, sound = make_office(), make_office()
    make_patient(sound, (utc("2025-01-02"), None))
    plan = Plan.objects.create(code="new", name="New")
    PlanPrice.objects.create(plan=plan, effective_on=date(2026, 1, 1), unit_price_cents=100)
    broken.plans.update(plan=plan)

    summary = backfill()

    assert [(p.office, p.code) for p in summary.run.problems] == [(broken.reference, "no_price_version")]
    assert summary.run.needs_attention
    assert not ParkedOffice.objects.exists()
    assert drafts(sound).count() == 3


def test_the_cap_stops_a_close(settings):
    settings.BILLING_RUN_CAP_CENTS = 500
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    summary = backfill(close=True)
    assert [p.code for p in summary.run.problems] == ["run_cap_exceeded"]
    assert not BillingCycle.objects.exists()


def test_one_office_can_be_backfilled_alone_and_an_unknown_one_is_refused():
    one, other = make_office(), make_office()
    backfill(office_reference=one.reference)
    assert (drafts(one).count(), drafts(other).count()) == (3, 0)
    with pytest.raises(OfficeNotFound):
        backfill(office_reference="nobody")
    with pytest.raises(MonthsReversed):
        backfill(("2026-01", "2025-12"))


def test_a_canceled_office_gets_its_past_but_nothing_after_its_end():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    change_status(office_id=office.pk, status=OfficeStatus.CANCELED, actor=ACTOR, now=utc("2025-11-20"))
    counts = backfill().run.tally.counts
    assert (counts["cycles_opened"], counts["not_live"]) == (2, 1)


def test_a_month_that_two_people_have_signed_stays_as_it_is():
    make_office()
    MonthClose.objects.create(
        key="2025-11", first_signed_by="a", first_signed_at=NOW, second_signed_by="b", locked_at=NOW, signed="{}"
    )
    counts = backfill(close=True).run.tally.counts
    assert (counts["cycles_opened"], counts["month_locked"]) == (2, 1)
    assert not BillingCycle.objects.filter(key="2025-11").exists()


# --- Differences to what was billed already ---
def billed_office():
    """An office whose January and February are closed: two patients, one of January only."""
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    make_patient(office, (utc("2026-01-20"), utc("2026-01-25")))
    run_due(as_of=utc("2026-01-20"), actor=ACTOR, now=utc("2026-01-20"))
    run_due(as_of=NOW, actor=ACTOR, now=NOW)
    return office


def differences(office):
    found = backfill(("2026-01", "2026-02"), office_reference=office.reference).differences
    return sorted((each.cycle.key, each.code, each.count) for each in found)


def test_what_was_billed_rightly_shows_no_difference():
    assert differences(billed_office()) == []


def test_every_difference_to_what_was_billed_is_counted_by_office_and_cycle():
    office = billed_office()
    lift_rules("billing_lineitem")
    january = LineItem.objects.filter(cycle_key="2026-01")
    january.filter(item_type="active_patient").update(unit_price_cents=150)
    january.filter(item_type="patient_activation").update(patient_reference=make_patient(office).pk)
    make_patient(office, (utc("2026-02-20"), utc("2026-02-22")))

    assert differences(office) == [
        ("2026-01", "billable_not_charged", 1),
        ("2026-01", "charged_not_billable", 1),
        ("2026-01", "price_differs", 1),
        ("2026-02", "adjustment_waits", 1),
    ]
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))
    assert ("2026-02", "adjustment_waits", 1) not in differences(office)


# --- The command ---
def command(*arguments):
    out = StringIO()
    try:
        call_command("backfill_invoices", *arguments, stdout=out)
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    return code, out.getvalue()


def test_the_command_says_what_it_did_and_the_second_time_that_nothing_was_missing():
    office = make_office()
    make_patient(office, (utc("2025-01-02"), None))
    code, told = command("--from", "2025-10", "--to", "2025-12", "--json")
    assert code == 0
    assert json.loads(told)["counts"]["cycles_opened"] == 3
    code, told = command("--from", "2025-10", "--to", "2025-12")
    assert (code, told.splitlines()[0]) == (0, "Nothing was missing: all of it is already there.")


def test_the_command_names_no_patient_in_its_differences():
    office = billed_office()
    lift_rules("billing_lineitem")
    patient = make_patient(office)
    LineItem.objects.filter(cycle_key="2026-01", item_type="patient_activation").update(patient_reference=patient.pk)
    code, told = command("--from", "2026-01", "--to", "2026-02", "--json")
    assert code == 1
    problems = json.loads(told)["problems"]
    assert {problem["code"] for problem in problems} == {"billable_not_charged", "charged_not_billable"}
    assert {problem["office"] for problem in problems} == {office.reference}
    assert str(patient.pk) not in told


@pytest.mark.parametrize("month", ["2026-13", "2026", "26-01", "1999-12", "x", "2026-1"])
def test_a_month_that_is_none_is_refused(month):
    with pytest.raises(Exception, match="is not a month"):
        call_command("backfill_invoices", "--from", month, "--to", "2026-01")


def test_a_parked_office_is_left_out_and_named():
    office = make_office(parked_at=NOW)
    code, told = command("--from", "2025-10", "--to", "2025-12", "--office", office.reference)
    assert code == 1
    assert "office_parked" in told
    assert not BillingCycle.objects.exists()


def test_a_closed_one_off_is_no_cycle_and_no_difference():
    office = billed_office()
    charge_office(office_id=office.pk, charge=Charge(ChargeReason.TRAINING, 9900), actor=ACTOR, now=NOW)
    assert differences(office) == []
