"""Accounts in the console: what an activation costs and what an end leaves is seen before it is done."""

import pytest
import time_machine
from django.urls import reverse

from audit.models import AuditEntry
from billing.models import LineItem
from patients.models import ActivityPeriod
from tests.billing.admin.conftest import permit
from tests.billing.scenes import close_month
from tests.builders import make_patient, utc

pytestmark = pytest.mark.django_db
NOW = utc("2026-03-21T12:00")


@pytest.fixture(autouse=True)
def today():
    with time_machine.travel(NOW, tick=True):
        yield


@pytest.fixture
def office():
    return close_month().office


@pytest.fixture
def biller(clerk):
    permit("clerk", "view_patient", "view_activityperiod", "add_activityperiod", "change_activityperiod")
    return clerk


def address(patient, name):
    return reverse(f"admin:patients_patient_{name}", args=[patient.pk])


def text(answer):
    return answer.content.decode()


def shown(answer):
    return dict(answer.context["consequences"])


def seen(answer):
    return answer.context["form"]["seen"].value()


def test_an_activation_is_one_click_after_its_price_was_seen(office, biller):
    patient = make_patient(office)
    entries = AuditEntry.objects.exclude(action="page.read").count()
    page = biller.get(address(patient, "activate"))
    assert shown(page)["Charged for 2026-03"] == "2.00 USD (patient activation)"
    assert AuditEntry.objects.exclude(action="page.read").count() == entries
    assert not ActivityPeriod.objects.filter(patient=patient).exists()
    answer = biller.post(address(patient, "activate"), {"at": "", "seen": seen(page)}, follow=True)
    assert "The account is active." in text(answer)
    assert LineItem.objects.get(patient_reference=patient.pk).cycle_key == "2026-03"
    assert AuditEntry.objects.get(action="patient.activated").actor == "staff:clerk"
    assert address(patient, "activate").rstrip("/") not in text(answer)
    assert address(patient, "deactivate").rstrip("/") in text(answer)


def test_a_time_that_was_not_looked_at_is_shown_first(office, biller):
    patient = make_patient(office)
    page = biller.get(address(patient, "activate"))
    back = biller.post(address(patient, "activate"), {"at": "2026-02-20 09:00", "seen": seen(page)})
    assert shown(back)["Charged for 2026-02"] == "2.00 USD (adjustment)"
    assert shown(back)["In all"].startswith("4.00 USD")
    assert not ActivityPeriod.objects.filter(patient=patient).exists()
    biller.post(address(patient, "activate"), {"at": "2026-02-20 09:00", "seen": seen(back)})
    assert ActivityPeriod.objects.get(patient=patient).activated_at == utc("2026-02-20T09:00")


@pytest.mark.parametrize(
    ("at", "status", "words"), [("2026-12-01", 409, "lies in the future"), ("soon", 200, "Enter a valid date")]
)
def test_a_time_that_cannot_be_is_told_at_the_form(at, status, words, office, biller):
    answer = biller.post(address(make_patient(office), "activate"), {"at": at})
    assert (answer.status_code, words in text(answer)) == (status, True)


def test_an_office_that_is_not_live_is_told_at_once(office, biller):
    office.status_changes.update(status="canceled")
    assert "the office is canceled or inactive" in text(biller.get(address(make_patient(office), "activate")))


def test_an_end_takes_no_charge_away_and_says_so(office, biller):
    patient = make_patient(office)
    biller.post(address(patient, "activate"), {"at": "", "seen": seen(biller.get(address(patient, "activate")))})
    page = biller.get(address(patient, "deactivate"))
    assert shown(page)["The open month, 2026-03"] == "is charged, and stays so"
    assert shown(page)["Not charged any more"] == "for months that start on 2026-04-15 or later"
    assert ActivityPeriod.objects.get(patient=patient).deactivated_at is None
    answer = biller.post(address(patient, "deactivate"), {"at": "", "seen": seen(page)}, follow=True)
    assert "not active any more" in text(answer)
    assert LineItem.objects.filter(patient_reference=patient.pk, live=True).count() == 1


def test_what_changes_nothing_says_so(office, biller):
    gone = make_patient(office, (utc("2026-01-20"), utc("2026-01-25")))
    assert shown(biller.get(address(gone, "deactivate"))) == {"Nothing changes": "the account is not active"}
