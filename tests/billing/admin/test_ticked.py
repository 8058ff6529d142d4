"""Several invoices at once: each is shown before it is done, each is one call on record, and none stops another."""

import json
import re

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import AuditEntry
from billing.admin import ticked
from billing.admin.ticked_actions import CloseTicked
from billing.billing_run import run_due
from billing.models import Correction, Invoice, InvoiceStatus, OutboxMessage
from billing.parking import stop_office
from offices.models import CollectionMethod
from tests.billing.admin.conftest import PERSON, list_address, permit
from tests.billing.correction_scenes import States
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, due_office
from tests.builders import ACTOR, utc
from tests.staff import logged_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on_that_day():
    with time_machine.travel(CLOSED_AT, tick=True):
        yield


@pytest.fixture
def drafts():
    """Three offices whose months are over, the last of them stopped, and one whose month still runs."""
    running = Invoice.objects.get(office=close_month().office, closed_at__isnull=True)
    offices = [due_office() for _ in range(3)]
    stop_office(office_id=offices[2].pk, reason="asked to wait", actor=ACTOR, now=CLOSED_AT)
    return [*Invoice.objects.filter(office__in=offices).order_by("office__reference"), running]


def address(name, invoices):
    return f"{reverse(f'admin:billing_invoice_{name}ticked')}?of={','.join(each.pk.hex for each in invoices)}"


def tick(client, name, invoices):
    """Tick them in the list, run the action and return the page that it leads to."""
    given = {"action": f"{name}_ticked", "_selected_action": [str(each.pk) for each in invoices], "index": "0"}
    return client.post(list_address(Invoice), given, follow=True)


def confirm(client, name, invoices, **given):
    seen = client.get(address(name, invoices)).context["form"]["seen"].value()
    return client.post(address(name, invoices), {"seen": seen} | given)


def tables(page):
    """Return the rows of each table: the office's reference, and what happens."""
    plain = re.compile(r"<[^>]+>")
    return {
        table.title: {plain.sub("", row[1]): plain.sub("", row[2]) for row in table.rows}
        for table in page.context["related_tables"]
    }


# --- Close ---
def test_ticked_drafts_are_shown_with_what_becomes_of_each_and_what_they_come_to(drafts, clerk):
    permit("clerk", "view_invoice", "close_invoice")
    page = tick(clerk, "close", drafts)
    assert (
        page.redirect_chain[-1][0] == address("close", sorted(drafts, key=lambda each: each.pk)) or page.redirect_chain
    )
    shown = tables(page)
    assert set(shown["What happens"]) == {each.office.reference for each in drafts[:2]}
    assert shown["Not possible, and why"] == {
        drafts[2].office.reference: "the office is parked: let it go on first.",
        drafts[3].office.reference: shown["Not possible, and why"][drafts[3].office.reference],
    }
    assert "its month ends at" in shown["Not possible, and why"][drafts[3].office.reference]
    assert dict(page.context["facts"]) == {
        "Will be done": "2 of 4 ticked invoices", "On them so far": "8.00 USD", "Not possible": "2",
        "Will be closed in all": "2 invoices", "Will be billed in all": "8.00 USD",
    }  # fmt: skip
    assert not Invoice.objects.filter(pk__in=[each.pk for each in drafts], closed_at__isnull=False).exists()


def test_ticked_drafts_are_closed_one_by_one_for_a_reason_on_record(drafts, clerk):
    permit("clerk", "view_invoice", "close_invoice")
    without = confirm(clerk, "close", drafts)
    assert without.context["form"].errors["reason"]
    page = confirm(clerk, "close", drafts, reason="month_end")
    done = tables(page)
    assert set(done["Done"].values()) == {"Closed: 1 invoice, 4.00 USD billed."}
    assert len(done["Not done, and why"]) == 2
    closed = Invoice.objects.filter(pk__in=[each.pk for each in drafts], closed_at__isnull=False)
    assert set(closed) == set(drafts[:2])
    entries = AuditEntry.objects.filter(action="invoice.close_asked")
    assert {json.loads(each.payload)["invoice"] for each in entries} == {str(each.pk) for each in drafts[:2]}
    assert {(each.actor, json.loads(each.payload)["reason"]) for each in entries} == {("staff:clerk", "month_end")}
    assert dict(page.context["totals"].sums)["Billed"] == "8.00 USD"


def test_what_else_of_the_offices_will_be_closed_with_them_is_told_beforehand(drafts, clerk):
    with time_machine.travel(utc("2026-05-20T12:00"), tick=True):
        permit("clerk", "view_invoice", "close_invoice")
        again = logged_in(User.objects.get(username="clerk"))
        shown = dict(again.get(address("close", drafts[:2])).context["facts"])
        done = tables(confirm(again, "close", drafts[:2], reason="month_end"))
    assert (shown["Will be closed in all"], shown["On them so far"]) == ("6 invoices", "8.00 USD")
    assert shown["Will be billed in all"] == "24.00 USD"
    assert set(done["Done"].values()) == {"Closed: 3 invoices, 12.00 USD billed."}


def test_what_an_earlier_one_of_the_office_has_taken_along_is_told_as_such(drafts, clerk, monkeypatch):
    permit("clerk", "view_invoice", "close_invoice")
    office = drafts[0].office
    seen = clerk.get(address("close", [drafts[0]])).context["form"]["seen"].value()
    # The run comes by between the look at the page and its turn.
    monkeypatch.setattr(CloseTicked, "_fates", _and_then_the_run(CloseTicked._fates))
    done = tables(clerk.post(address("close", [drafts[0]]), {"seen": seen, "reason": "month_end"}))
    assert done["Done"] == {office.reference: "closed meanwhile, with an earlier one of the office or by the run"}


def _and_then_the_run(look):
    def looked(self):
        fates = look(self)
        run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
        return fates

    return looked


def test_what_changed_since_it_was_shown_is_shown_again_and_not_done(drafts, clerk):
    permit("clerk", "view_invoice", "close_invoice")
    seen = clerk.get(address("close", drafts)).context["form"]["seen"].value()
    stop_office(office_id=drafts[0].office_id, reason="asked to wait", actor=ACTOR, now=CLOSED_AT)
    again = clerk.post(address("close", drafts), {"seen": seen, "reason": "month_end"})
    assert again.status_code == 409
    assert "look again" in again.content.decode()
    assert not AuditEntry.objects.filter(action="invoice.close_asked").exists()
    now_seen = again.context["form"]["seen"].value()
    assert tables(clerk.post(address("close", drafts), {"seen": now_seen, "reason": "month_end"}))["Done"]


# --- Send ---
def test_ticked_messages_are_hurried_and_the_rest_is_told(drafts, clerk):
    permit("clerk", "view_invoice", "close_invoice", "send_invoice")
    confirm(clerk, "close", drafts[:2], reason="month_end")
    OutboxMessage.objects.update(next_attempt_at=utc("2027-01-01"))
    shown = tables(tick(clerk, "send", [drafts[0], drafts[3]]))
    assert "tries so far: 0" in shown["What happens"][drafts[0].office.reference]
    assert "nothing of this invoice waits" in shown["Not possible, and why"][drafts[3].office.reference]
    done = tables(confirm(clerk, "send", [drafts[0], drafts[3]], reason="fault_mended"))
    assert list(done["Done"]) == [drafts[0].office.reference]
    hurried = OutboxMessage.objects.get(invoice=drafts[0])
    assert hurried.next_attempt_at < utc("2027-01-01")
    assert OutboxMessage.objects.get(invoice=drafts[1]).next_attempt_at == utc("2027-01-01")
    assert json.loads(AuditEntry.objects.get(action="outbox.hurried").payload)["reason"] == "fault_mended"


# --- Retry ---
@pytest.fixture
def failed(stripe):
    states = States(stripe, SharedClock(CLOSED_AT, stripe))
    made = [states.failed(), states.failed(), states.sent()]
    Invoice.objects.filter(status=InvoiceStatus.FAILED).update(collection_method=CollectionMethod.CHARGE_AUTOMATICALLY)
    Invoice.objects.filter(pk=made[1].pk).update(collection_method=CollectionMethod.SEND_INVOICE)
    return made


def test_ticked_failed_payments_are_tried_again_and_nothing_else_is(failed, clerk):
    permit("clerk", "view_invoice", "request_correction")
    page = tick(clerk, "retry", failed)
    shown = tables(page)
    assert list(shown["What happens"]) == [failed[0].office.reference]
    assert dict(page.context["facts"])["Will be charged"] == "4.00 USD"
    assert "mailed invoice" in shown["Not possible, and why"][failed[1].office.reference]
    assert "takes no retry" in shown["Not possible, and why"][failed[2].office.reference]
    done = tables(confirm(clerk, "retry", failed, reason="the bank was down"))
    assert done["Done"] == {failed[0].office.reference: "tried again within minutes"}
    correction = Correction.objects.get()
    assert (correction.invoice, correction.kind, correction.requested_by) == (failed[0], "retry", "staff:clerk")
    assert correction.note == "the bank was down"
    again = tables(clerk.get(address("retry", failed)))
    assert "another correction" in again["Not possible, and why"][failed[0].office.reference]


def test_a_reason_that_looks_like_a_patient_is_refused_for_that_invoice(failed, clerk):
    from patients.registration import register_patient

    register_patient(office_id=failed[0].office_id, actor=ACTOR, now=CLOSED_AT, **PERSON)
    permit("clerk", "view_invoice", "request_correction")
    done = tables(confirm(clerk, "retry", failed, reason="Zoltana Quibbleworth asked"))
    assert done["Done"] == {}
    assert "patient" in done["Not done, and why"][failed[0].office.reference]
    assert not Correction.objects.exists()


# --- What was ticked ---
def test_nothing_ticked_and_nonsense_are_told(drafts, clerk):
    permit("clerk", "view_invoice", "close_invoice")
    for given in ("", "nonsense", "00000000000000000000000000000000", "%F0%9F%98%80"):
        page = clerk.get(f"{reverse('admin:billing_invoice_closeticked')}?of={given}")
        assert "No invoice is ticked" in page.content.decode()
    listed = clerk.post(list_address(Invoice), {"action": "close_ticked", "_selected_action": "x"}, follow=True)
    assert "Tick invoices of the list" in listed.content.decode()
    listed = clerk.post(list_address(Invoice), {"action": "send_ticked", "_selected_action": str(drafts[0].pk)})
    assert listed.status_code == 302  # an action that is not theirs leads nowhere


def test_more_than_a_page_of_the_list_is_not_done_at_once(drafts, clerk, monkeypatch):
    monkeypatch.setattr(ticked, "MOST_AT_ONCE", 2)
    permit("clerk", "view_invoice", "close_invoice")
    everything = {"action": "close_ticked", "_selected_action": str(drafts[0].pk), "select_across": "1"}
    assert "2 invoices at most" in clerk.post(list_address(Invoice), everything, follow=True).content.decode()


@pytest.mark.parametrize("name", ["close", "send", "retry"])
def test_a_look_asks_few_questions_however_many_are_ticked(name, drafts, failed, boss):
    asked = []
    for chosen in ([drafts[0], failed[0]], [*drafts, *failed]):
        with CaptureQueriesContext(connection) as counted:
            assert boss.get(address(name, chosen)).status_code == 200
        asked.append(len(counted))
    # A close is tried and rolled back, all offices at once.
    assert asked[0] == asked[1] <= (60 if name == "close" else 15)
