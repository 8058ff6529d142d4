"""An office is due exactly when a run would do something for it: an idle one never counts as overdue."""

from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from billing.billing_run import run_due
from billing.invoice_backfill import backfill_invoices
from billing.office_terms import change_status
from billing.run_chunk import due_offices
from offices.models import OfficeStatus
from tests.builders import ACTOR, make_office, utc

pytestmark = pytest.mark.django_db

START = utc("2026-01-01")
RUN, CANCELED, RESUMED, LATER = (utc(day) for day in ("2026-01-20", "2026-01-25", "2026-04-20", "2026-06-20"))


def is_due(as_of):
    return due_offices(as_of).exists()


def run(as_of):
    return +run_due(as_of=as_of, actor=ACTOR, now=as_of).tally.counts


def set_status(office, status, at):
    change_status(office_id=office.pk, status=status, actor=ACTOR, now=at)


def test_a_canceled_office_is_due_until_its_last_cycle_is_closed_and_then_never_again():
    office = make_office()
    run(RUN)
    set_status(office, OfficeStatus.CANCELED, CANCELED)

    assert not is_due(CANCELED)
    assert is_due(LATER)
    run(utc("2026-02-20"))
    assert not is_due(LATER)


def test_an_office_that_is_billed_again_is_due_again():
    office = make_office()
    run(RUN)
    set_status(office, OfficeStatus.CANCELED, CANCELED)
    run(utc("2026-02-20"))

    set_status(office, OfficeStatus.ACTIVE, RESUMED)

    assert not is_due(RESUMED - timedelta(seconds=1))
    assert is_due(RESUMED)


def test_an_office_that_was_never_billed_is_due_while_it_is_live():
    office = make_office()
    assert is_due(RUN)
    set_status(office, OfficeStatus.INACTIVE, CANCELED)
    assert not is_due(LATER)


def test_an_office_with_nothing_but_a_backfill_is_due_while_it_is_live():
    office = make_office()
    backfill_invoices(months=("2025-10", "2025-12"), actor=ACTOR, now=RUN)
    assert is_due(RUN)
    set_status(office, OfficeStatus.INACTIVE, CANCELED)
    assert not is_due(LATER)


@given(
    changes=st.dictionaries(st.integers(0, 200), st.sampled_from(OfficeStatus.values), max_size=5),
    runs=st.lists(st.integers(0, 220), max_size=3),
    backfills=st.booleans(),
    asked=st.integers(0, 260),
)
def test_whatever_happened_a_run_does_something_for_just_the_offices_that_are_due(changes, runs, backfills, asked):
    with transaction.atomic():
        office = make_office()
        steps = [(day, 0, status) for day, status in changes.items()] + [(day, 1, None) for day in runs]
        for day, _, status in sorted(steps, key=lambda step: step[:2]):
            at = START + timedelta(days=day)
            if status is None:
                run(at)
            else:
                set_status(office, status, at)
        as_of = START + timedelta(days=asked)
        if backfills:
            backfill_invoices(months=("2025-11", "2026-03"), actor=ACTOR, now=as_of)
        due = is_due(as_of)
        done = run(as_of)
        done.pop("already_done", None)
        assert bool(done) == due, done
        assert not is_due(as_of)
        transaction.set_rollback(True)
