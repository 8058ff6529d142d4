"""A difference is one row, however often it is found, and what a person accepted does not come back unchanged."""

from datetime import timedelta

import pytest

from billing.discrepancies import end_discrepancies, open_discrepancy
from billing.models import Discrepancy, DiscrepancyKind, DiscrepancyStatus, RepairKind
from tests.builders import ACTOR, utc
from tests.database_rows import Rows

pytestmark = pytest.mark.django_db

NOW, LATER = utc("2026-03-20"), utc("2026-03-21")


def found(now=NOW, **changes) -> bool:
    values = {
        "kind": DiscrepancyKind.TOTAL, "subject": "invoice:1", "office": None, "invoice": None, "cycle_key": "2026-02",
        "amount_cents": 100, "ours": {"total_cents": 400}, "theirs": {"total_cents": 500, "status": "open"},
        "repair": RepairKind.LOOK, "run": None,
    }  # fmt: skip
    return open_discrepancy(**values | changes, now=now)


def test_a_difference_found_twice_is_one_row_with_the_evidence_of_today():
    assert found()
    assert not found(LATER, theirs={"total_cents": 600}, amount_cents=200)

    row = Discrepancy.objects.get()
    assert (row.found_at, row.last_seen_at) == (NOW, LATER)
    assert (row.ours, row.theirs, row.amount_cents) == ('{"total_cents":400}', '{"total_cents":600}', 200)


def test_another_kind_or_subject_is_another_row():
    assert found()
    assert found(kind=DiscrepancyKind.CURRENCY)
    assert found(subject="invoice:2")


def test_a_run_takes_over_what_an_event_told_and_an_event_leaves_the_run_alone():
    run = Rows().reconciliation_run
    found()
    found(run=run)
    found(run=None)

    assert Discrepancy.objects.get().run == run


def test_the_evidence_reads_the_same_in_any_order():
    found(theirs={"b": 1, "a": [1, 2]})
    assert Discrepancy.objects.get().theirs == '{"a":[1,2],"b":1}'


@pytest.mark.parametrize("status", [DiscrepancyStatus.GONE, DiscrepancyStatus.REPAIRED])
def test_what_ended_opens_again_when_it_is_found_again(status):
    found()
    assert end_discrepancies(Discrepancy.objects.all(), status=status, actor=ACTOR, now=LATER) == 1

    assert found()
    assert Discrepancy.objects.filter(status=DiscrepancyStatus.OPEN).count() == 1


def test_what_a_person_accepted_stays_accepted_until_the_evidence_changes():
    found()
    end_discrepancies(Discrepancy.objects.all(), status=DiscrepancyStatus.ACCEPTED, actor="ann", now=LATER)

    assert not found(LATER + timedelta(days=1))
    assert found(LATER + timedelta(days=2), theirs={"total_cents": 700})


def test_only_what_is_open_is_ended():
    found()
    end_discrepancies(Discrepancy.objects.all(), status=DiscrepancyStatus.GONE, actor=ACTOR, now=NOW)

    assert end_discrepancies(Discrepancy.objects.all(), status=DiscrepancyStatus.GONE, actor="ann", now=LATER) == 0
    assert Discrepancy.objects.get().ended_by == ACTOR
