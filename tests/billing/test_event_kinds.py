"""Every kind of object that Stripe tells of: brought in, put away as foreign, or kept until somebody looks."""

import pytest
from django.core.management import call_command

from billing.event_outcomes import QUARANTINE_TRIES
from billing.models import (
    CreditNote,
    Discrepancy,
    DiscrepancyKind,
    Dispute,
    EventStatus,
    Invoice,
    InvoiceStatus,
    Payment,
    Refund,
    StripeEvent,
)
from billing.stripe_events import ACTOR, preview, process_due
from offices.models import OfficeStripeAccount
from sandbox.stripe_standin import Fault
from tests.billing.scenes import CLOSED_AT, TOTAL_CENTS, SharedClock, delivered, hear, ring

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def sent(stripe, clock):
    invoice, stripe_id = delivered(stripe, clock)
    hear(stripe, clock)
    return invoice, stripe_id


@pytest.fixture
def paid(stripe, clock, sent):
    stripe.dashboard.pay_invoice(sent[1])
    hear(stripe, clock)
    return sent


def only(stripe, clock, *types: str, tries: int = 1) -> StripeEvent:
    """Let only the events of these types arrive, all others being lost, and return the last of them."""
    events = [event for event in stripe.objects("event") if event["type"] in types]
    ring(stripe, clock.at, events=events[-len(types) :])
    for _ in range(tries):
        process_due(clock=clock)
        clock.forward(hours=7)
    return StripeEvent.objects.get(pk=events[-1]["id"])


def foreign_invoice(stripe) -> dict:
    """An invoice of another system on the same account: a copy of ours without our metadata."""
    invoice = dict(stripe.objects("invoice")[-1])
    return stripe.dashboard.edit("invoice", invoice["id"], metadata={})


def fetches(stripe, label: str) -> int:
    return stripe.counts().get(label, 0)


# --- Money that comes ---
def test_a_bank_debit_under_way_shows_and_ends_with_the_event_of_its_intent(stripe, clock, sent):
    stripe.dashboard.start_processing(sent[1])
    only(stripe, clock, "payment_intent.processing")
    assert Payment.objects.get().processing

    stripe.dashboard.decline(sent[1])
    only(stripe, clock, "payment_intent.payment_failed")
    assert not Payment.objects.get().processing
    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.FAILED


def test_the_event_of_the_intent_alone_pays_the_invoice(stripe, clock, sent):
    stripe.dashboard.pay_invoice(sent[1])
    event = only(stripe, clock, "payment_intent.succeeded")

    assert event.status == EventStatus.DONE
    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.PAID


def test_an_intent_whose_payment_we_never_heard_of_is_found_through_stripe(stripe, clock):
    """All news of the invoice was lost; the intent leads to it once our own commit cannot be what is missing."""
    invoice, stripe_id = delivered(stripe, clock)
    Payment.objects.all().delete()
    stripe.dashboard.pay_invoice(stripe_id)
    event = only(stripe, clock, "payment_intent.succeeded")
    assert event.status == EventStatus.QUARANTINED

    event = only(stripe, clock, "payment_intent.succeeded", tries=3)
    assert event.status == EventStatus.DONE
    assert Invoice.objects.get(pk=invoice.pk).status == InvoiceStatus.PAID


# --- Money that goes back ---
@pytest.mark.parametrize("event_type", ["charge.refunded", "refund.created"])
def test_a_refund_is_a_row_whichever_event_tells_of_it(stripe, clock, paid, event_type):
    refund = stripe.dashboard.refund(paid[1], 150)
    assert only(stripe, clock, event_type).status == EventStatus.DONE

    row = Refund.objects.get()
    assert (row.stripe_refund_id, row.status, row.amount_cents) == (refund["id"], "succeeded", 150)
    assert row.invoice == paid[0]
    assert Invoice.objects.get(pk=paid[0].pk).status == InvoiceStatus.PAID


def test_a_refund_that_the_bank_refuses_fails_here_too(stripe, clock, paid):
    refund = stripe.dashboard.refund(paid[1])
    only(stripe, clock, "refund.created")
    stripe.dashboard.fail_refund(refund["id"])
    only(stripe, clock, "refund.failed")

    assert Refund.objects.get().status == "failed"


def test_a_dispute_is_a_row_from_its_opening_to_its_end(stripe, clock, paid):
    dispute = stripe.dashboard.dispute(paid[1])
    only(stripe, clock, "charge.dispute.created")
    assert Dispute.objects.get().status == "needs_response"

    stripe.dashboard.close_dispute(dispute["id"], won=False)
    only(stripe, clock, "charge.dispute.closed")
    assert (Dispute.objects.get().status, Dispute.objects.get().amount_cents) == ("lost", TOTAL_CENTS)


def test_a_credit_note_of_stripes_dashboard_is_a_row_and_so_is_its_end(stripe, clock, sent):
    note = stripe.dashboard.credit(sent[1], 100)
    only(stripe, clock, "credit_note.created")
    row = CreditNote.objects.get()
    assert (row.stripe_credit_note_id, row.status, row.before_payment_cents) == (note["id"], "issued", 100)

    stripe.dashboard.void_credit(note["id"])
    only(stripe, clock, "credit_note.voided")
    assert CreditNote.objects.get().status == "void"


def test_all_events_of_one_invoice_cost_one_fetch_of_it_whatever_they_are_about(stripe, clock, paid):
    stripe.dashboard.refund(paid[1], 100)
    stripe.dashboard.refund(paid[1], 50)
    stripe.dashboard.dispute(paid[1])
    before = fetches(stripe, "GET /v1/invoices/{id}")
    ring(stripe, clock.at)
    process_due(clock=clock)

    assert fetches(stripe, "GET /v1/invoices/{id}") == before + 1
    assert (Refund.objects.count(), Dispute.objects.count()) == (2, 1)


# --- Gone ---
def test_an_invoice_deleted_at_stripe_is_a_discrepancy_and_never_a_status(stripe, clock, sent):
    invoice, stripe_id = sent
    (finalized,) = [each for each in stripe.objects("event") if each["type"] == "invoice.finalized"]
    stripe.dashboard.forget("invoice", stripe_id)
    ring(stripe, clock.at, events=[finalized | {"id": "evt_1Deleted", "type": "invoice.deleted"}])
    process_due(clock=clock)

    found = Discrepancy.objects.get()
    assert (found.kind, found.subject) == (DiscrepancyKind.INVOICE_DELETED, f"invoice:{invoice.pk}")
    assert (found.invoice, found.run, found.amount_cents) == (invoice, None, TOTAL_CENTS)
    assert Invoice.objects.get(pk=invoice.pk).status == InvoiceStatus.SENT
    assert StripeEvent.objects.get(pk="evt_1Deleted").status == EventStatus.DONE


def test_a_deletion_that_stripe_does_not_confirm_changes_nothing(stripe, clock, sent):
    (finalized,) = [each for each in stripe.objects("event") if each["type"] == "invoice.finalized"]
    ring(stripe, clock.at, events=[finalized | {"id": "evt_1Deleted", "type": "invoice.deleted"}])
    process_due(clock=clock)

    assert not Discrepancy.objects.exists()
    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.SENT


# --- Customers ---
def customer_of(invoice) -> str:
    return OfficeStripeAccount.objects.get(office=invoice.office_id).customer_id


def test_a_deleted_customer_is_a_discrepancy_of_the_office(stripe, clock, sent):
    stripe.dashboard.delete_customer(customer_of(sent[0]))
    hear(stripe, clock)

    found = Discrepancy.objects.get()
    assert (found.kind, found.subject) == (DiscrepancyKind.CUSTOMER_DELETED, f"office:{sent[0].office_id}")
    assert found.status == "open"


CHANGES = {
    "a balance": ({"balance": -250}, DiscrepancyKind.CUSTOMER_BALANCE, 250),
    "another name": ({"name": "Somebody Else"}, DiscrepancyKind.PROFILE_CHANGED, 0),
    "no metadata": ({"metadata": {}}, DiscrepancyKind.METADATA_CHANGED, 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_customer_changed_at_stripe_is_a_discrepancy_until_it_is_changed_back(stripe, clock, sent, change):
    fields, kind, cents = CHANGES[change]
    customer_id = customer_of(sent[0])
    before = {name: stripe.get("customer", customer_id)[name] for name in fields}
    stripe.dashboard.edit("customer", customer_id, **fields)
    hear(stripe, clock)
    found = Discrepancy.objects.get()
    assert (found.kind, found.amount_cents, found.status) == (kind, cents, "open")
    assert "Somebody" not in found.theirs

    stripe.dashboard.edit("customer", customer_id, **before)
    hear(stripe, clock)
    found.refresh_from_db()
    assert (found.status, found.ended_by) == ("gone", ACTOR)


# --- Whose it is ---
def test_an_invoice_without_our_metadata_is_foreign_after_one_question(stripe, clock, sent):
    Invoice.objects.filter(pk=sent[0].pk).update(stripe_invoice_id=None)
    foreign_invoice(stripe)
    before = fetches(stripe, "GET /v1/invoices/{id}")
    StripeEvent.objects.all().delete()
    event = only(stripe, clock, "invoice.finalized", tries=6)

    assert (event.status, event.error_code, event.attempts) == (EventStatus.FOREIGN, "object_foreign", 4)
    assert fetches(stripe, "GET /v1/invoices/{id}") == before + 1


def test_an_invoice_with_our_metadata_that_we_do_not_know_waits_and_is_never_foreign(stripe, clock, sent):
    invoice, _ = sent
    Invoice.objects.filter(pk=invoice.pk).update(stripe_invoice_id=None)
    StripeEvent.objects.all().delete()
    event = only(stripe, clock, "invoice.finalized", tries=QUARANTINE_TRIES + 2)

    assert (event.status, event.error_code) == (EventStatus.DEAD, "object_unknown")


@pytest.mark.parametrize("event_type", ["refund.created", "charge.dispute.created", "credit_note.created"])
def test_money_of_an_invoice_that_is_not_ours_is_foreign(stripe, clock, paid, event_type):
    invoice, stripe_id = paid
    stripe.dashboard.refund(stripe_id, 100)
    stripe.dashboard.dispute(stripe_id)
    stripe.dashboard.credit(stripe_id, 50, out_of_band_amount=50)
    Payment.objects.all().delete()
    Invoice.objects.filter(pk=invoice.pk).update(stripe_invoice_id="in_1Another")
    event = only(stripe, clock, event_type, tries=5)

    assert (event.status, event.error_code) == (EventStatus.FOREIGN, "object_foreign")
    assert not any(model.objects.exists() for model in (Refund, Dispute, CreditNote))


def test_an_invoice_in_a_currency_that_we_never_bill_is_foreign(stripe, clock, sent):
    invoice, stripe_id = sent
    Invoice.objects.filter(pk=invoice.pk).update(stripe_invoice_id=None)
    stripe.dashboard.edit("invoice", stripe_id, currency="eur")
    StripeEvent.objects.all().delete()

    assert only(stripe, clock, "invoice.finalized", tries=5).status == EventStatus.FOREIGN


def test_a_customer_of_another_system_is_foreign(stripe, clock, sent):
    event = dict(next(each for each in stripe.objects("event") if each["type"].startswith("customer.")))
    event |= {"id": "evt_1Other", "type": "customer.updated"}
    event["data"]["object"]["id"] = "cus_1Nobody"
    ring(stripe, clock.at, events=[event])
    for _ in range(5):
        process_due(clock=clock)
        clock.forward(hours=7)

    assert StripeEvent.objects.get(pk="evt_1Other").status == EventStatus.FOREIGN


@pytest.mark.parametrize("object_id", ["in_with_bars", "in_" + "x" * 77, "pi_-", "zz_1", ""])
def test_ids_of_other_shapes_are_never_asked_for(stripe, clock, sent, object_id):
    event = dict(next(each for each in stripe.objects("event") if each["type"] == "invoice.finalized"))
    event["data"]["object"]["id"] = object_id
    ring(stripe, clock.at, events=[event | {"id": "evt_1Odd"}])
    asked = len(stripe.requests)
    for _ in range(6):
        process_due(clock=clock)
        clock.forward(hours=7)

    assert StripeEvent.objects.get(pk="evt_1Odd").status in {EventStatus.QUARANTINED, EventStatus.IGNORED}
    assert len(stripe.requests) == asked


# --- Told loudly ---
def test_an_event_of_another_version_counts_and_is_told(stripe, clock, sent, caplog):
    stripe.dashboard.pay_invoice(sent[1])
    (event,) = [each for each in stripe.objects("event") if each["type"] == "invoice.paid"]
    ring(stripe, clock.at, events=[event | {"id": "evt_1Old", "api_version": "2019-01-01"}])
    process_due(clock=clock)

    kept = StripeEvent.objects.get(pk="evt_1Old")
    assert (kept.status, kept.error_code) == (EventStatus.DONE, "other_version")
    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.PAID
    assert "events_of_other_version" in caplog.text


@pytest.mark.parametrize(
    ("key", "livemode"), [("sk_test_stand_in", True), ("sk_live_stand_in", False), ("rk_live_stand_in", False)]
)
def test_an_event_of_the_other_mode_is_not_believed(stripe, clock, sent, settings, caplog, key, livemode):
    settings.STRIPE_API_KEY = key
    stripe.dashboard.pay_invoice(sent[1])
    (event,) = [each for each in stripe.objects("event") if each["type"] == "invoice.paid"]
    ring(stripe, clock.at, events=[event | {"id": "evt_1Mode", "livemode": livemode}])
    asked = len(stripe.requests)
    process_due(clock=clock)

    kept = StripeEvent.objects.get(pk="evt_1Mode")
    assert (kept.status, kept.error_code) == (EventStatus.DISTRUSTED, "other_mode")
    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.SENT
    assert len(stripe.requests) == asked
    assert "events_of_other_mode" in caplog.text


# --- Given up, and taken up again ---
def test_a_reply_that_stays_unreadable_is_dead_in_the_end_and_a_stripe_that_is_away_is_not(stripe, clock, sent):
    stripe.dashboard.pay_invoice(sent[1])
    (event,) = [each for each in stripe.objects("event") if each["type"] == "invoice.paid"]
    ring(stripe, clock.at, events=[event])
    stripe.go_down()
    for _ in range(QUARANTINE_TRIES + 3):
        process_due(clock=clock)
        clock.forward(hours=7)
    assert StripeEvent.objects.get(pk=event["id"]).status == EventStatus.PENDING

    stripe.come_back()
    stripe.script("GET /v1/invoices/{id}", [Fault.MALFORMED_BODY])
    process_due(clock=clock)
    assert StripeEvent.objects.get(pk=event["id"]).status == EventStatus.DEAD


def test_a_dead_event_is_tried_again_by_hand(stripe, clock, sent, capsys):
    stripe.dashboard.pay_invoice(sent[1])
    (event,) = [each for each in stripe.objects("event") if each["type"] == "invoice.paid"]
    ring(stripe, clock.at, events=[event])
    StripeEvent.objects.filter(pk=event["id"]).update(
        status=EventStatus.DEAD, attempts=QUARANTINE_TRIES, processed_at=clock.at, error_code="object_unknown"
    )
    process_due(clock=clock)
    assert StripeEvent.objects.get(pk=event["id"]).status == EventStatus.DEAD
    waits = preview(now=clock.at, retry_dead=True).counts["waiting"]
    assert waits == preview(now=clock.at).counts["waiting"] + 1

    call_command("process_stripe_events", "--retry-dead")

    kept = StripeEvent.objects.get(pk=event["id"])
    assert (kept.status, kept.error_code, kept.attempts) == (EventStatus.DONE, "", 1)
    assert Invoice.objects.get(pk=sent[0].pk).status == InvoiceStatus.PAID
    assert "done: 1" in capsys.readouterr().out
