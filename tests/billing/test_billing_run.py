"""The monthly run: every due cycle once, in order, whatever repeats or fails (product.md rules 4, 6, 8, 9)."""

from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.chain import verify
from billing import office_terms
from billing.billing_run import resume_run, run_due
from billing.models import (
    BillingCycle,
    BillingRun,
    Invoice,
    InvoiceStatus,
    LineItem,
    OutboxMessage,
    ParkedOffice,
    ParkingCode,
)
from billing.parking import park_office
from billing.unparking import ReasonMissing, unpark_office
from offices.locking import OfficeNotFound
from offices.models import Office, OfficeStatus, Plan, PlanPrice
from tests.builders import ACTOR, make_office, make_patient, utc

pytestmark = pytest.mark.django_db

JANUARY, FEBRUARY, MARCH, JUNE = utc("2026-01-20"), utc("2026-02-20"), utc("2026-03-20"), utc("2026-06-20")
LONG_AGO = utc("2025-01-01")


def run(as_of, **options):
    return run_due(as_of=as_of, actor=ACTOR, now=options.pop("now", as_of), **options)


def counts(summary):
    return {name: number for name, number in summary.tally.counts.items() if number}


def tables():
    return [model.objects.count() for model in (BillingCycle, Invoice, LineItem, OutboxMessage)]


def test_the_first_run_opens_the_cycle_that_holds_the_moment_and_carries_over():
    office = make_office()
    make_patient(office, (LONG_AGO, None))

    summary = run(JANUARY)

    assert counts(summary) == {"cycles_opened": 1, "lines_added": 1}
    cycle = BillingCycle.objects.get()
    assert (cycle.key, cycle.closed_at) == ("2026-01", None)
    office.refresh_from_db()
    assert office.first_cycle_opened_at == JANUARY


def test_a_second_run_adds_nothing_and_says_so():
    make_patient(make_office(), (LONG_AGO, None))
    run(JANUARY)
    run(FEBRUARY)
    before = tables()

    again = run(FEBRUARY)

    assert tables() == before
    assert counts(again) == {"already_done": 1}


def test_closing_freezes_the_total_and_queues_one_message():
    office = make_office()
    for _ in range(3):
        make_patient(office, (LONG_AGO, None))
    run(JANUARY)

    summary = run(FEBRUARY)

    assert summary.tally.billed == {"USD": 600}
    invoice = Invoice.objects.get(closed_at__isnull=False)
    assert (invoice.total_cents, invoice.status) == (600, InvoiceStatus.DRAFT)
    assert OutboxMessage.objects.filter(kind="invoice").count() == 1


def test_missed_months_are_caught_up_in_order_as_timely_runs_would_have():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    make_patient(office, (utc("2026-02-20"), utc("2026-04-01")))
    run(JANUARY)

    summary = run(JUNE)

    assert counts(summary) == {"cycles_opened": 5, "cycles_closed": 5, "invoices_closed": 5, "lines_added": 7}
    totals = Invoice.objects.filter(closed_at__isnull=False).order_by("cycle__index")
    assert list(totals.values_list("cycle__key", "total_cents")) == [
        ("2026-01", 200),
        ("2026-02", 400),
        ("2026-03", 400),
        ("2026-04", 200),
        ("2026-05", 200),
    ]


def test_an_earlier_instant_than_already_done_is_a_no_op():
    make_patient(make_office(), (LONG_AGO, None))
    run(MARCH)

    assert counts(run(JANUARY, now=MARCH)) == {"already_done": 1}


def test_a_run_that_was_cut_off_is_resumed_once_it_surely_is():
    make_patient(make_office(), (LONG_AGO, None))
    run(JANUARY)
    cut_off = BillingRun.objects.create(as_of=FEBRUARY, actor=ACTOR, started_at=FEBRUARY)

    assert resume_run(actor=ACTOR, now=FEBRUARY + timedelta(seconds=15)) is None
    resumed = resume_run(actor=ACTOR, now=FEBRUARY + timedelta(seconds=30))

    assert counts(resumed)["cycles_closed"] == 1
    assert resume_run(actor=ACTOR, now=FEBRUARY + timedelta(minutes=5)) is None
    cut_off.refresh_from_db()
    assert cut_off.finished_at is None


@pytest.mark.parametrize("asked_for", [JANUARY, JUNE])
def test_a_run_for_another_instant_is_resumed_as_the_hourly_run_would(asked_for):
    make_patient(make_office(), (LONG_AGO, None))
    run(FEBRUARY)
    newcomer = make_office()
    BillingRun.objects.create(as_of=asked_for, actor=ACTOR, started_at=FEBRUARY + timedelta(seconds=1))
    resume_run(actor=ACTOR, now=FEBRUARY + timedelta(minutes=1))
    assert set(BillingCycle.objects.values_list("key", flat=True)) == {"2026-02"}
    assert BillingCycle.objects.filter(office=newcomer).exists()


def test_before_the_first_run_nothing_is_resumed():
    make_patient(make_office(), (LONG_AGO, None))
    assert resume_run(actor=ACTOR, now=FEBRUARY) is None
    assert tables() == [0, 0, 0, 0]


def test_what_an_import_brings_for_a_closed_cycle_becomes_an_adjustment_at_the_next_close():
    office = make_office()
    run(JANUARY)
    run(FEBRUARY)
    late = make_patient(office, (utc("2026-01-18"), utc("2026-01-19")))

    run(MARCH)

    (line,) = LineItem.objects.filter(patient_reference=late.pk).select_related("invoice__cycle")
    assert (line.item_type, line.cycle_key, line.invoice.cycle.key) == ("adjustment", "2026-01", "2026-02")


def test_a_late_run_charges_the_price_that_held_at_the_cycles_start():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    PlanPrice.objects.create(plan=Plan.objects.get(), effective_on=date(2026, 3, 1), unit_price_cents=300)
    run(JANUARY)

    run(JUNE)

    prices = BillingCycle.objects.order_by("index").values_list("key", "unit_price_cents")
    assert list(prices)[:4] == [("2026-01", 200), ("2026-02", 200), ("2026-03", 300), ("2026-04", 300)]


def test_an_override_ends_on_its_end_date():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    office_terms.override_price(
        office_id=office.pk,
        unit_price_cents=150,
        starts_on=date(2026, 2, 1),
        ends_on=date(2026, 3, 15),
        reason="pilot clinic",
        actor=ACTOR,
        now=JANUARY,
    )
    run(JANUARY)
    run(JUNE)

    prices = dict(BillingCycle.objects.values_list("key", "unit_price_cents"))
    assert (prices["2026-01"], prices["2026-02"], prices["2026-03"]) == (200, 150, 200)


def test_a_trial_is_charged_nothing_and_settled_here_with_nothing_sent():
    office = make_office(status=OfficeStatus.TRIALING)
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    office_terms.change_status(office_id=office.pk, status=OfficeStatus.ACTIVE, actor=ACTOR, now=utc("2026-01-25"))

    run(FEBRUARY)

    invoice = Invoice.objects.get(closed_at__isnull=False)
    assert (invoice.status, invoice.total_cents, invoice.settlement_reason) == (InvoiceStatus.PAID, 0, "trial")
    assert not OutboxMessage.objects.exists()
    # Active from the next cycle on.
    assert BillingCycle.objects.get(key="2026-02").unit_price_cents == 200


def test_an_empty_month_is_settled_here_and_says_why():
    make_office()
    run(JANUARY)

    run(FEBRUARY)

    invoice = Invoice.objects.get(closed_at__isnull=False)
    assert (invoice.status, invoice.settlement_reason) == (InvoiceStatus.PAID, "nothing_due")
    assert not OutboxMessage.objects.exists()


def test_a_canceled_office_closes_its_draft_and_opens_no_new_cycle():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    office_terms.change_status(office_id=office.pk, status=OfficeStatus.CANCELED, actor=ACTOR, now=utc("2026-01-25"))

    summary = run(MARCH)

    assert counts(summary) == {"cycles_closed": 1, "invoices_closed": 1}
    assert run(JUNE).tally.counts["cycles_opened"] == 0


def test_billing_resumes_with_the_cycle_that_contains_the_reactivation():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    for status, at in ((OfficeStatus.CANCELED, "2026-01-25"), (OfficeStatus.ACTIVE, "2026-04-20")):
        office_terms.change_status(office_id=office.pk, status=status, actor=ACTOR, now=utc(at))

    run(JUNE)

    assert list(BillingCycle.objects.order_by("index").values_list("key", flat=True)) == [
        "2026-01",
        "2026-04",
        "2026-05",
        "2026-06",
    ]


def test_a_draft_opened_ahead_of_time_is_closed_when_the_office_has_stopped_meanwhile():
    office = make_office()
    patient = make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    run(FEBRUARY, now=JANUARY)
    office_terms.change_status(
        office_id=office.pk, status=OfficeStatus.CANCELED, actor=ACTOR, now=JANUARY + timedelta(days=1)
    )
    summary = run(MARCH)
    assert (summary.problems, summary.tally.billed) == ([], {"USD": 200})
    keys = LineItem.objects.filter(patient_reference=patient.pk, live=True).values_list("cycle_key", flat=True)
    assert sorted(keys) == ["2026-01", "2026-02"]


def test_the_anchor_is_fixed_once_the_first_cycle_has_opened():
    office = make_office()
    assert office_terms.change_anchor(office_id=office.pk, anchor=date(2026, 1, 31), actor=ACTOR, now=JANUARY)
    run(JANUARY)

    with pytest.raises(office_terms.AnchorFixed):
        office_terms.change_anchor(office_id=office.pk, anchor=date(2026, 1, 1), actor=ACTOR, now=JANUARY)


def test_a_poison_office_is_parked_and_the_others_are_billed():
    poison, *others = [make_office() for _ in range(5)]
    for office in (poison, *others):
        make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    # A line that no activity explains: the independent count differs.
    LineItem.objects.create(
        invoice=Invoice.objects.get(office=poison),
        item_type="patient_activation",
        cycle_key="2026-01",
        patient_reference=make_patient(poison).pk,
        unit_price_cents=200,
        created_at=JANUARY,
    )

    summary = run(FEBRUARY)

    assert summary.needs_attention
    assert [(problem.office, problem.code) for problem in summary.problems] == [(poison.reference, "count_differs")]
    assert counts(summary)["invoices_closed"] == 4
    poison.refresh_from_db()
    assert poison.parked_at == FEBRUARY
    assert not Invoice.objects.filter(office=poison, closed_at__isnull=False).exists()


def test_an_office_released_from_parking_is_billed_once():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    park_office(office_id=office.pk, code=ParkingCode.COUNT_DIFFERS, actor=ACTOR, now=JANUARY)
    assert run(FEBRUARY).tally.counts["invoices_closed"] == 0

    with pytest.raises(ReasonMissing):
        unpark_office(office_id=office.pk, reason=" ", actor=ACTOR, now=FEBRUARY)
    unpark_office(office_id=office.pk, reason="looked into", actor=ACTOR, now=FEBRUARY)

    assert run(FEBRUARY).tally.counts["invoices_closed"] == 1
    assert ParkedOffice.objects.get().unparked_by == ACTOR


def test_a_wrong_price_on_a_line_parks_the_office():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    LineItem.objects.update(unit_price_cents=20_000)

    (problem,) = run(FEBRUARY).problems

    assert problem.code == "price_differs"


def test_a_run_over_the_cap_stops_before_anything_is_sent(settings):
    settings.BILLING_RUN_CAP_CENTS = 100
    make_patient(make_office(), (LONG_AGO, None))
    run(JANUARY)

    summary = run(FEBRUARY)

    assert [problem.code for problem in summary.problems] == ["run_cap_exceeded"]
    assert counts(summary) == {}  # what was not reached is not done
    assert not OutboxMessage.objects.exists()
    assert BillingRun.objects.latest("started_at").status == "needs_attention"


def test_sudden_growth_only_warns_and_not_before_the_third_close():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    for month in ("2026-01-20", "2026-02-20", "2026-03-20"):
        run(utc(month))
    for _ in range(25):
        make_patient(office, (utc("2026-03-21"), None))

    summary = run(utc("2026-04-20"))

    assert [problem.code for problem in summary.problems] == ["grown_suddenly"]
    assert not summary.needs_attention
    assert counts(summary)["invoices_closed"] == 1


def test_a_dry_run_tells_the_same_and_writes_nothing():
    make_patient(make_office(), (LONG_AGO, None))
    run(JANUARY)
    before, runs, (entries, _breaks) = tables(), BillingRun.objects.count(), verify()

    rehearsal = run(JUNE, dry_run=True)

    assert tables() == before
    assert (BillingRun.objects.count(), verify()[0]) == (runs, entries)
    assert counts(rehearsal) == counts(run(JUNE))


def test_a_dry_run_tells_of_an_office_that_nobody_can_mail_an_invoice_to(settings):
    settings.BILLING_FALLBACK_EMAIL = ""
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    dry, real = run(FEBRUARY, dry_run=True), run(FEBRUARY)
    assert [(each.office, each.code) for each in dry.problems] == [(office.reference, "profile_email_missing")]
    assert dry.needs_attention
    assert (dry.problems, counts(dry)) == (real.problems, counts(real))
    assert ParkedOffice.objects.count() == 1


def test_one_office_can_be_run_alone():
    chosen, other = make_office(), make_office()

    run(JANUARY, office_reference=chosen.reference)

    assert BillingCycle.objects.filter(office=chosen).exists()
    assert not BillingCycle.objects.filter(office=other).exists()
    with pytest.raises(OfficeNotFound):
        run(JANUARY, office_reference="nobody")


def test_each_run_leaves_a_row_with_counts_and_money():
    make_patient(make_office(), (LONG_AGO, None))
    run(JANUARY)
    run(FEBRUARY)

    row = BillingRun.objects.latest("started_at")

    assert (row.status, row.cycles_closed, row.invoices_closed, row.lines_added) == ("done", 1, 1, 1)
    assert row.billed == '{"USD": 200}'
    assert row.finished_at is not None


def test_the_number_of_statements_does_not_grow_with_the_patients():
    def statements(patients):
        Office.objects.update(parked_at=LONG_AGO)
        office = make_office()
        for _ in range(patients):
            make_patient(office, (LONG_AGO, None))
        run(JANUARY)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            run(FEBRUARY)
        return len(queries)

    assert statements(2) == statements(40)


def test_the_audit_chain_tells_of_each_cycle_and_invoice():
    office = make_office()
    make_patient(office, (LONG_AGO, None))
    run(JANUARY)
    run(FEBRUARY)

    entries, breaks = verify([f"office:{office.reference}"])

    assert breaks == []
    assert entries == 4  # cycle opened, invoice closed, cycle closed, next cycle opened
