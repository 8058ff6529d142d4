"""A run is started from the console: first what comes of it, by the run's own code, then for a reason, once."""

import pytest
import time_machine
from django.urls import reverse

from billing.admin import run_start
from billing.billing_run import run_due
from billing.models import BillingRun, Invoice, RunStatus
from tests.billing.admin.conftest import detail_address, list_address, permit
from tests.billing.scenes import CLOSED_AT, due_office
from tests.builders import ACTOR, make_patient, utc

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on_that_day():
    with time_machine.travel(CLOSED_AT, tick=True):
        yield


def address():
    return reverse("admin:billing_billingrun_start")


def text(answer):
    return answer.content.decode()


def asked():
    return BillingRun.objects.exclude(reason="")


REASON = {"reason": "the month is being closed"}


def look(client):
    """Return what the page shows first, and what the form remembers of it."""
    page = client.post(address(), REASON)
    return dict(page.context["consequences"]), page.context["form"]["seen"].value()


def test_what_is_due_and_what_comes_of_it_is_shown_before_anything_is_done(clerk):
    office = due_office()
    permit("clerk", "view_billingrun", "start_run")
    assert address() in text(clerk.get(list_address(BillingRun)))
    page = clerk.get(address())
    assert dict(page.context["facts"])["Offices that are due"] == "1"
    assert office.reference in text(page)
    shown, _seen = look(clerk)
    would = run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT, dry_run=True)
    assert shown["Will be billed"] == "4.00 USD"
    for name in ("cycles_closed", "invoices_closed", "lines_added"):
        assert shown[name.replace("_", " ").capitalize()] == str(would.tally.counts[name])
    assert not asked().exists()
    assert not Invoice.objects.filter(closed_at__isnull=False).exists()


def test_a_run_is_started_for_a_reason_and_its_page_shows_what_it_did(clerk):
    due_office()
    permit("clerk", "view_billingrun", "start_run")
    _shown, seen = look(clerk)
    page = clerk.post(address(), REASON | {"seen": seen}, follow=True)
    run = asked().get()
    assert page.redirect_chain[-1][0] == detail_address(BillingRun, run.pk)
    assert (run.status, run.actor, run.invoices_closed) == (RunStatus.DONE, "staff:clerk", 1)
    assert "the month is being closed" in text(page)
    assert clerk.post(address(), {"reason": " ", "seen": seen}).context["form"].errors


def test_another_office_that_became_due_is_shown_first(clerk):
    due_office()
    permit("clerk", "view_billingrun", "start_run")
    _shown, seen = look(clerk)
    due_office()
    again = clerk.post(address(), REASON | {"seen": seen})
    assert dict(again.context["consequences"])["Will be billed"] == "8.00 USD"
    assert not asked().exists()


def test_an_account_that_is_activated_meanwhile_is_billed_without_another_look(clerk):
    office = due_office()
    permit("clerk", "view_billingrun", "start_run")
    _shown, seen = look(clerk)
    make_patient(office, (utc("2026-02-20"), None))
    clerk.post(address(), REASON | {"seen": seen})
    assert Invoice.objects.get(closed_at__isnull=False).total_cents == 600


def test_when_nothing_is_due_the_page_says_so_and_starts_nothing(clerk):
    permit("clerk", "view_billingrun", "start_run")
    assert dict(clerk.get(address()).context["facts"]) == {"Offices that are due": "0"}
    for given in (REASON, REASON | {"seen": "whatever"}):
        refused = clerk.post(address(), given)
        assert refused.status_code == 409
        assert "Nothing is due" in text(refused)
    assert not asked().exists()


def test_more_offices_than_a_page_can_try_are_told_as_such(clerk, monkeypatch):
    monkeypatch.setattr(run_start, "MOST_TRIED", 1)
    due_office(), due_office()
    permit("clerk", "view_billingrun", "start_run")
    shown, seen = look(clerk)
    assert "run_billing_cycle --dry-run" in shown["Not tried here"]
    clerk.post(address(), REASON | {"seen": seen})
    assert asked().get().invoices_closed == 2


def test_a_run_that_waits_or_is_under_way_is_looked_at_again_by_itself(clerk):
    permit("clerk", "view_billingrun", "start_run")
    run = BillingRun.objects.create(
        as_of=CLOSED_AT, actor=ACTOR, started_at=CLOSED_AT, status=RunStatus.ASKED, reason="x"
    )
    page = clerk.get(detail_address(BillingRun))
    assert "waits for a worker" in text(page)
    assert page.headers["Refresh"] == "3; url=?looks=99"
    BillingRun.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)
    assert "Refresh" not in clerk.get(detail_address(BillingRun) + "?looks=0").headers
    BillingRun.objects.filter(pk=run.pk).update(status=RunStatus.DONE)
    assert "Refresh" not in clerk.get(detail_address(BillingRun)).headers


def test_who_may_only_look_is_offered_no_start(clerk):
    permit("clerk", "view_billingrun")
    assert address() not in text(clerk.get(list_address(BillingRun)))
    assert clerk.post(address(), REASON).status_code == 403
