"""Close and send one invoice now: what the run and the workers would do, and nothing else."""

import json
from datetime import timedelta

import pytest

from audit.models import AuditEntry
from billing.billing_run import run_due
from billing.invoice_backfill import backfill_invoices
from billing.invoice_handling import HandlingReason, NothingToDo, close_now, preview_close, send_now
from billing.models import Invoice, MessageStatus, OutboxMessage
from billing.parking import LONGEST_REASON, OfficeAlreadyParked, ReasonMissing, stop_office
from billing.unparking import unpark_office
from offices.models import Office
from tests.billing.scenes import CLOSED_AT, OPENED_AT, close_month, due_office
from tests.builders import ACTOR, utc

pytestmark = pytest.mark.django_db
STAFF = "staff:jo"


REASON = HandlingReason.MONTH_END


def close(invoice, *, now=CLOSED_AT):
    return close_now(invoice_id=invoice.pk, reason=REASON, actor=STAFF, now=now)


def send(invoice, *, now=CLOSED_AT):
    send_now(invoice_id=invoice.pk, reason=REASON, actor=STAFF, now=now)


@pytest.fixture
def draft():
    return Invoice.objects.get(office=due_office())


def test_a_month_that_is_not_over_is_not_closed(draft):
    with pytest.raises(NothingToDo, match="ends at 2026-03-15 04:00 UTC"):
        close(draft, now=utc("2026-03-14"))


def test_a_dry_run_says_what_the_close_will_do_and_does_nothing(draft):
    before = AuditEntry.objects.count()
    would = preview_close(invoice_id=draft.pk, actor=STAFF, now=CLOSED_AT)
    assert AuditEntry.objects.count() == before
    assert Invoice.objects.get().closed_at is None
    assert close(draft) == would
    assert (would.invoices, would.cents, would.problems) == (1, 400, ())


def test_a_close_is_the_runs_own(draft):
    close(draft)
    draft.refresh_from_db()
    assert (draft.total_cents, draft.closed_at) == (400, CLOSED_AT)
    assert AuditEntry.objects.get(action="invoice.closed").actor == STAFF
    asked = AuditEntry.objects.get(action="invoice.close_asked")
    assert (asked.actor, json.loads(asked.payload)) == (STAFF, {"invoice": str(draft.pk), "reason": "month_end"})
    with pytest.raises(NothingToDo, match="closed already"):
        close(draft)
    assert run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT).tally.counts["invoices_closed"] == 0


def test_another_office_is_left_alone(draft):
    other = Invoice.objects.get(office=due_office())
    close(draft)
    other.refresh_from_db()
    assert other.closed_at is None


def test_a_draft_of_a_backfill_is_closed_by_itself(draft):
    backfill_invoices(months=("2026-01", "2026-01"), actor=ACTOR, now=OPENED_AT)
    old = Invoice.objects.get(origin="backfill")
    assert close(old, now=OPENED_AT).invoices == 1
    draft.refresh_from_db()
    assert draft.closed_at is None


def test_a_message_that_waits_is_tried_at_once():
    invoice = close_month()
    waiting = OutboxMessage.objects.filter(office=invoice.office)
    waiting.update(next_attempt_at=CLOSED_AT + timedelta(hours=1))
    send(invoice)
    assert set(waiting.values_list("next_attempt_at", flat=True)) == {CLOSED_AT}
    entry = AuditEntry.objects.get(action="outbox.hurried")
    assert (entry.actor, json.loads(entry.payload)["reason"]) == (STAFF, "month_end")


def test_what_was_delivered_or_is_under_way_is_not_sent_again():
    invoice = close_month()
    OutboxMessage.objects.filter(invoice=invoice).update(status=MessageStatus.DONE, done_at=CLOSED_AT)
    with pytest.raises(NothingToDo, match="nothing of this invoice waits"):
        send(invoice)


def test_a_stopped_office_neither_closes_nor_sends_until_it_goes_on(draft):
    stop_office(office_id=draft.office_id, reason="a doubt", actor=STAFF, now=OPENED_AT)
    parking = draft.office.parkings.get()
    assert (parking.code, parking.parked_by, parking.park_reason) == ("stopped_by_staff", STAFF, "a doubt")
    assert "doubt" not in AuditEntry.objects.get(action="office.parked").payload
    with pytest.raises(NothingToDo, match="parked"):
        close(draft)
    with pytest.raises(NothingToDo, match="parked"):
        send(draft)
    with pytest.raises(OfficeAlreadyParked):
        stop_office(office_id=draft.office_id, reason="again", actor=STAFF, now=OPENED_AT)
    unpark_office(office_id=draft.office_id, reason="looked into", actor=STAFF, now=CLOSED_AT)
    assert close(draft).invoices == 1


@pytest.mark.parametrize("reason", ["", "  ", "x" * (LONGEST_REASON + 1)])
def test_an_office_is_stopped_for_a_reason(reason, draft):
    with pytest.raises(ReasonMissing):
        stop_office(office_id=draft.office_id, reason=reason, actor=STAFF, now=OPENED_AT)
    assert Office.objects.get().parked_at is None
