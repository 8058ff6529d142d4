"""Terms of offices and the price list: tried before they are set, effective with the next cycle, on the record."""

from datetime import date

import pytest

from audit.models import AuditEntry
from billing.billing_run import run_due
from billing.models import BillingCycle, Invoice
from billing.office_terms import PeriodReversed, change_plan, change_status, override_price
from billing.price_list import (
    NewPlan,
    PlanCodeMalformed,
    PlanExists,
    PriceInThePast,
    PriceVersionExists,
    add_plan,
    add_price,
    reach_of_price,
)
from billing.running_total import running_charges
from billing.statement import open_invoices, statement_of
from billing.upcoming_terms import effect_of
from offices.models import OfficePlan, OfficeStatus, Plan, PriceOverride
from offices.timeline import NoPriceVersion
from tests.billing.scenes import CLOSED_AT, OPENED_AT, close_month, due_office
from tests.builders import ACTOR, make_office, make_patient, utc

pytestmark = pytest.mark.django_db


@pytest.fixture
def office():
    return due_office()


def standard():
    return Plan.objects.get(code="standard")


def cheap(office):
    return lambda: override_price(
        office_id=office.pk, unit_price_cents=150, starts_on=date(2026, 4, 1), ends_on=date(2026, 7, 1),
        reason="pilot", actor=ACTOR, now=OPENED_AT,
    )  # fmt: skip


def test_the_effect_is_what_the_cycles_will_freeze_and_nothing_stays(office):
    entries = AuditEntry.objects.count()
    effect = effect_of(cheap(office), office, now=OPENED_AT)
    changed = [(before.starts_on, before.unit_price_cents, after.unit_price_cents) for before, after in effect.changed]
    assert changed == [(date(2026, month, 15), 200, 150) for month in (4, 5, 6)]
    assert effect.active_accounts == 2
    assert (PriceOverride.objects.count(), AuditEntry.objects.count()) == (0, entries)
    cheap(office)()
    run_due(as_of=utc("2026-08-01"), actor=ACTOR, now=utc("2026-08-01"))
    frozen = dict(BillingCycle.objects.filter(office=office).values_list("key", "unit_price_cents"))
    assert [frozen[key] for key in ("2026-03", "2026-04", "2026-05", "2026-06", "2026-07")] == [200, 150, 150, 150, 200]


def test_an_end_of_the_status_is_seen_as_months_that_are_not_billed(office):
    stop = effect_of(
        lambda: change_status(office_id=office.pk, status=OfficeStatus.CANCELED, actor=ACTOR, now=OPENED_AT),
        office,
        now=OPENED_AT,
    )
    assert {after.unit_price_cents for _before, after in stop.changed} == {None}
    assert stop.changed[0][0].starts_on == date(2026, 3, 15)  # the open month closes as it began


def test_a_price_of_its_own_ends_after_it_begins(office):
    with pytest.raises(PeriodReversed):
        override_price(
            office_id=office.pk, unit_price_cents=1, starts_on=date(2026, 4, 1), ends_on=date(2026, 4, 1),
            reason="x", actor=ACTOR, now=OPENED_AT,
        )  # fmt: skip


def test_a_plan_without_a_price_takes_no_office(office):
    empty = Plan.objects.create(code="empty", name="Empty")
    with pytest.raises(NoPriceVersion):
        change_plan(office_id=office.pk, plan=empty, actor=ACTOR, now=OPENED_AT)
    assert OfficePlan.objects.count() == 1


def test_a_new_plan_can_be_billed_under_at_once_and_only_from_the_next_month(office):
    plan = add_plan(NewPlan("group", "Group", 5_000, 120), actor=ACTOR, now=OPENED_AT)
    change_plan(office_id=office.pk, plan=plan, actor=ACTOR, now=OPENED_AT)
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    assert dict(BillingCycle.objects.values_list("key", "unit_price_cents")) == {"2026-02": 200, "2026-03": 120}
    assert AuditEntry.objects.get(action="plan.added").stream == "billing:prices"


def test_an_office_that_comes_under_a_new_plan_is_billed_for_the_month_that_has_begun():
    plan = add_plan(NewPlan("group", "Group", 5_000, 120), actor=ACTOR, now=CLOSED_AT)
    newcomer = make_office()
    OfficePlan.objects.filter(office=newcomer).update(plan=plan)  # as an import writes it
    summary = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    assert summary.problems == []
    assert BillingCycle.objects.get(office=newcomer).unit_price_cents == 120


@pytest.mark.parametrize("code", ["", "Group", "a b", "-x", "ü", "x" * 41])
def test_a_plan_has_a_code_that_can_be_written_anywhere(code):
    with pytest.raises(PlanCodeMalformed):
        add_plan(NewPlan(code, "Group", 0, 100), actor=ACTOR, now=OPENED_AT)


def test_a_plan_is_added_once(office):
    with pytest.raises(PlanExists):
        add_plan(NewPlan("standard", "Again", 0, 100), actor=ACTOR, now=OPENED_AT)


@pytest.mark.parametrize("day", [date(2026, 2, 28), date(2026, 3, 1)])
def test_what_has_begun_is_not_priced_anew(day):
    with pytest.raises(PriceInThePast):
        add_price(plan_id=standard().pk, effective_on=day, unit_price_cents=300, actor=ACTOR, now=OPENED_AT)


def test_a_price_version_reaches_those_without_a_price_of_their_own(office):
    own = make_office()
    make_patient(own, (utc("2026-01-01"), None))
    cheap(own)()
    reach = reach_of_price(standard(), effective_on=date(2026, 5, 1), now=OPENED_AT)
    assert (reach.offices, reach.with_own_price, reach.active_accounts, reach.price_before_cents) == (1, 1, 2, 200)
    add_price(plan_id=standard().pk, effective_on=date(2026, 5, 1), unit_price_cents=300, actor=ACTOR, now=OPENED_AT)
    with pytest.raises(PriceVersionExists):
        add_price(plan_id=standard().pk, effective_on=date(2026, 5, 1), unit_price_cents=4, actor=ACTOR, now=OPENED_AT)
    run_due(as_of=utc("2026-06-01"), actor=ACTOR, now=utc("2026-06-01"))
    frozen = BillingCycle.objects.filter(key__in=["2026-04", "2026-05"]).order_by("office__created_at", "key")
    prices = {(cycle.office_id, cycle.key): cycle.unit_price_cents for cycle in frozen}
    assert (prices[office.pk, "2026-04"], prices[office.pk, "2026-05"], prices[own.pk, "2026-05"]) == (200, 300, 150)


def test_the_running_total_is_what_is_open(office):
    assert [(each.month, each.quantity, each.total_cents) for each in running_charges(office.pk)] == [
        ("2026-02", 1, 200),  # the carried-over one; the other is charged by the run
        *[("2026-02", 1, 200)] * (Invoice.objects.get().line_items.count() - 1),
    ]


def test_a_statement_ends_with_what_is_owed():
    invoice = close_month()
    months = statement_of(invoice.office_id)
    assert [(each.month, each.balance.billed, each.balance.closing) for each in months] == [("2026-02", 400, 400)]
    assert [(each.invoice, each.due_cents) for each in open_invoices(invoice.office_id)] == [(invoice, 400)]
    assert statement_of(make_office().pk) == []
