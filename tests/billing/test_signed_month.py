"""An office that starts, or comes back, within a month that two people have signed (decisions.md 41)."""

from datetime import date

import pytest

from billing.activation import activate_patient
from billing.billing_run import run_due
from billing.models import LineItem, MonthClose
from billing.monthly_invoice import NoOpenInvoice, ensure_open_invoice
from billing.office_terms import change_status
from offices.models import OfficeStatus
from tests.builders import ACTOR, make_office, make_patient, utc

pytestmark = pytest.mark.django_db

SIGNED_AT, NEWCOMER_AT, NEXT_CYCLE = utc("2026-02-16"), utc("2026-02-20"), utc("2026-02-26")


@pytest.fixture
def signed_january():
    signed = {"first_signed_by": "ann", "first_signed_at": SIGNED_AT, "second_signed_by": "bob", "locked_at": SIGNED_AT}
    return MonthClose.objects.create(key="2026-01", signed="{}", **signed)


def charged() -> list[tuple[str, str]]:
    return list(LineItem.objects.order_by("cycle_key").values_list("cycle_key", "item_type"))


def test_an_office_that_starts_in_a_signed_month_is_billed_from_its_next_cycle_on(signed_january):
    office = make_office(anchor=date(2026, 1, 25))
    patient = make_patient(office)

    result = activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=NEWCOMER_AT)
    with pytest.raises(NoOpenInvoice):
        ensure_open_invoice(office_id=office.pk, actor=ACTOR, now=NEWCOMER_AT)
    early = run_due(as_of=NEWCOMER_AT, actor=ACTOR, now=NEWCOMER_AT)
    run_due(as_of=NEXT_CYCLE, actor=ACTOR, now=NEXT_CYCLE)

    assert (result.changed, result.lines, early.problems) == (True, (), [])
    assert charged() == [("2026-02", "active_patient")]


def test_an_office_that_comes_back_in_a_signed_month_is_billed_from_its_next_cycle_on(signed_january):
    office = make_office(anchor=date(2026, 1, 25))
    run_due(as_of=utc("2025-12-10"), actor=ACTOR, now=utc("2025-12-10"))
    for status, at in ((OfficeStatus.CANCELED, utc("2025-12-20")), (OfficeStatus.ACTIVE, NEWCOMER_AT)):
        change_status(office_id=office.pk, status=status, actor=ACTOR, now=at)
    make_patient(office, (utc("2026-02-21"), None))

    summary = run_due(as_of=NEXT_CYCLE, actor=ACTOR, now=NEXT_CYCLE)

    assert summary.problems == []
    assert charged() == [("2026-02", "active_patient")]
