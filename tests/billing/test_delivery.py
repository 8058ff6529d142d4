"""From a closed invoice to Stripe: once, complete, and only when the totals agree."""

import pytest

from billing import fail_points, stripe_events
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.delivery import deliver_due, preview
from billing.documents import digest
from billing.fail_points import FailPoint
from billing.models import (
    ChargeReason,
    HostedInvoicePage,
    Invoice,
    InvoiceStatus,
    LineItem,
    MessageKind,
    MessageStatus,
    OutboundRequest,
    OutboxMessage,
    ParkedOffice,
    ParkingCode,
)
from billing.parking import park_office
from billing.unparking import unpark_office
from offices.models import CollectionMethod, Office, OfficeStripeAccount
from tests.billing.scenes import CLOSED_AT, TOTAL_CENTS, SharedClock, close_month, drain, ring
from tests.builders import ACTOR, make_office
from tests.invariants import assert_invariants
from tests.tampering import execute, lift_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture(autouse=True)
def no_hook_left():
    yield
    fail_points.install(None)


def test_a_closed_invoice_reaches_stripe_finalized_with_our_total(stripe, clock):
    invoice = close_month()

    summary = deliver_due(clock=clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    assert invoice.sent_at == clock.at
    (at_stripe,) = stripe.objects("invoice")
    assert at_stripe["status"] == "open"
    assert at_stripe["total"] == invoice.total_cents == TOTAL_CENTS
    assert at_stripe["auto_advance"] is True
    assert at_stripe["metadata"] == {"invoice_id": str(invoice.pk), "cycle": "2026-02", "kind": "monthly"}
    assert summary.counts == {"taken": 2, "delivered": 2, "customers_delivered": 1, "invoices_delivered": 1}
    assert HostedInvoicePage.objects.get(invoice=invoice).url == at_stripe["hosted_invoice_url"]
    assert_invariants(stripe)


def test_an_invoice_costs_two_writes_and_one_for_each_item_and_one_read(stripe, clock):
    close_month()
    deliver_due(clock=clock)

    assert stripe.counts() == {
        "POST /v1/customers": 1,
        "POST /v1/invoices": 1,
        "POST /v1/invoiceitems": 2,
        "POST /v1/invoices/{id}/finalize": 1,
        "GET /v1/invoices/{id}": 1,
    }


def test_the_second_month_writes_no_customer_again(stripe, clock):
    invoice = close_month()
    drain(clock)
    stripe.forget_requests()
    clock.forward(days=31)
    run_due(as_of=clock.at, actor=ACTOR, now=clock.at)
    drain(clock)

    assert stripe.writes() == 3  # both patients are carried over: one item
    assert Invoice.objects.filter(office=invoice.office, status=InvoiceStatus.SENT).count() == 2
    assert_invariants(stripe)


def test_nothing_is_sent_twice_by_a_second_delivery(stripe, clock):
    close_month()
    drain(clock)
    before = stripe.counts()
    clock.forward(days=3)

    assert deliver_due(clock=clock).counts == {}
    assert stripe.counts() == before


def test_a_preview_counts_and_sends_nothing(stripe, clock):
    close_month()

    assert preview(clock=clock).counts["taken"] == 1  # the invoice waits until its customer is known
    assert stripe.requests == ()


def test_a_customer_is_opaque_and_stored_encrypted(stripe, clock):
    invoice = close_month(name="Clinica Nuñez", billing_email="front.desk@clinic.example")
    deliver_due(clock=clock)

    (customer,) = stripe.objects("customer")
    assert customer["name"] == invoice.office.opaque_name
    assert customer["email"] == "billing@vendor.example"
    assert OfficeStripeAccount.objects.get(office=invoice.office).customer_id == customer["id"]
    assert b"Nu" not in stripe.all_bytes()
    assert b"front.desk" not in stripe.all_bytes()


def test_every_request_leaves_its_evidence_on_its_message(stripe, clock):
    close_month()
    deliver_due(clock=clock)

    assert OutboundRequest.objects.count() == len(stripe.requests)
    assert not OutboundRequest.objects.filter(message__isnull=True).exists()
    sent = sorted(request.body.decode() for request in stripe.requests)
    assert sorted(OutboundRequest.objects.values_list("body", flat=True)) == sent


def test_a_setup_fee_reaches_stripe_without_a_month(stripe, clock):
    office = make_office()
    charge = Charge(ChargeReason.SETUP_FEE, amount_cents=9900, note="agreed by phone")
    invoice = charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=clock.at)
    drain(clock)

    (at_stripe,) = stripe.objects("invoice")
    assert (at_stripe["total"], at_stripe["status"]) == (9900, "open")
    assert at_stripe["metadata"] == {"invoice_id": str(invoice.pk), "kind": "setup_fee"}
    assert b"phone" not in stripe.all_bytes()
    assert_invariants(stripe)


def test_a_card_on_file_pays_at_once_and_the_trail_shows_both_moves(stripe, clock):
    invoice = close_month(collection_method=CollectionMethod.CHARGE_AUTOMATICALLY)
    drain(clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.PAID
    assert invoice.sent_at is not None
    assert_invariants(stripe)


def test_a_declined_card_is_failed_and_past_due(stripe, clock):
    stripe.dashboard.set_card("declined")
    invoice = close_month(collection_method=CollectionMethod.CHARGE_AUTOMATICALLY)
    drain(clock)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.attempt_count) == (InvoiceStatus.FAILED, 1)
    assert invoice.office.past_due_since == invoice.failed_at
    assert_invariants(stripe)


def test_a_missing_fallback_mailbox_parks_and_an_unpark_after_setting_it_delivers(stripe, clock, settings):
    settings.BILLING_FALLBACK_EMAIL = ""
    invoice = close_month()
    assert ParkedOffice.objects.get(office=invoice.office).code == ParkingCode.PROFILE_EMAIL_MISSING
    deliver_due(clock=clock)
    assert stripe.requests == ()

    settings.BILLING_FALLBACK_EMAIL = "billing@vendor.example"
    unpark_office(office_id=invoice.office_id, reason="mailbox set", actor=ACTOR, now=clock.at)
    drain(clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    assert_invariants(stripe)


def test_unparking_while_the_mailbox_is_still_missing_parks_again(clock, settings):
    settings.BILLING_FALLBACK_EMAIL = ""
    invoice = close_month()
    unpark_office(office_id=invoice.office_id, reason="hoping", actor=ACTOR, now=clock.at)

    assert Office.objects.get(pk=invoice.office_id).parked_at == clock.at
    assert not OutboxMessage.objects.filter(kind=MessageKind.CUSTOMER).exists()


# --- What changed between close and delivery is refused ---
def assert_parked(invoice: Invoice, code: ParkingCode, kind: MessageKind = MessageKind.INVOICE) -> OutboxMessage:
    """The office and the message stand, with a code; our books are as they were."""
    assert ParkedOffice.objects.get(office=invoice.office_id, unparked_at__isnull=True).code == code
    message = OutboxMessage.objects.get(office=invoice.office_id, kind=kind)
    assert message.status == MessageStatus.PARKED
    assert message.error_code
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.DRAFT
    return message


def test_a_customer_message_that_was_overtaken_is_replaced_and_the_invoice_gets_through(stripe, clock, settings):
    invoice = close_month()
    settings.BILLING_FALLBACK_EMAIL = "other@vendor.example"
    drain(clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    customers = OutboxMessage.objects.filter(kind=MessageKind.CUSTOMER).order_by("created_at")
    # Both may be of the same instant, and have no order then.
    assert sorted((m.status, m.error_code) for m in customers) == [("dead", "superseded"), ("done", "")]
    assert [customer["email"] for customer in stripe.objects("customer")] == ["other@vendor.example"]
    assert not ParkedOffice.objects.exists()


@pytest.mark.parametrize("with_digest", [False, True])
def test_a_tampered_document_is_refused_by_its_digest_or_by_the_ledger(stripe, clock, with_digest):
    invoice = close_month()
    deliver_due(clock=clock, limit=1)
    lift_rules("billing_outboxmessage")
    message = OutboxMessage.objects.get(invoice=invoice)
    message.payload = message.payload.replace('"quantity":1', '"quantity":7', 1)
    if with_digest:
        message.payload_digest = digest(message.payload)
    message.save()
    deliver_due(clock=clock)

    message = assert_parked(invoice, ParkingCode.REQUEST_BLOCKED)
    assert message.error_code == ("value_not_expected" if with_digest else "document_unreadable")
    assert all(each["total"] == 0 and each["status"] == "draft" for each in stripe.objects("invoice"))


def test_a_tampered_line_is_refused_before_anything_is_sent(stripe, clock):
    invoice = close_month()
    deliver_due(clock=clock, limit=1)
    stripe.forget_requests()
    lift_rules("billing_lineitem")
    LineItem.objects.filter(invoice=invoice, item_type="active_patient").update(item_type="patient_activation")
    deliver_due(clock=clock)

    assert_parked(invoice, ParkingCode.STRIPE_OBJECT_UNEXPECTED)
    assert stripe.requests == ()


def test_a_tampered_price_of_a_line_never_becomes_payable(stripe, clock):
    invoice = close_month()
    deliver_due(clock=clock, limit=1)
    lift_rules("billing_lineitem")
    LineItem.objects.filter(invoice=invoice, item_type="active_patient").update(unit_price_cents=20_000)
    deliver_due(clock=clock)

    assert_parked(invoice, ParkingCode.REQUEST_BLOCKED)
    assert {each["status"] for each in stripe.objects("invoice")} == {"draft"}


def test_nothing_of_a_parked_office_leaves_until_it_is_released(stripe, clock):
    invoice = close_month()
    park_office(office_id=invoice.office_id, code=ParkingCode.UNEXPECTED_ERROR, actor=ACTOR, now=clock.at)
    clock.forward(days=1)
    assert deliver_due(clock=clock).counts == {}
    assert stripe.requests == ()

    unpark_office(office_id=invoice.office_id, reason="looked into", actor=ACTOR, now=clock.at)
    drain(clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT


def test_one_poison_office_does_not_stop_the_others(stripe, clock):
    poisoned, healthy = close_month(), close_month()
    lift_rules("billing_outboxmessage")
    OutboxMessage.objects.filter(invoice=poisoned).update(payload="{}")
    summary = deliver_due(clock=clock)

    assert summary.counts["parked"] == 1
    healthy.refresh_from_db()
    assert healthy.status == InvoiceStatus.SENT


# --- Stripe's news is faster than our own commit ---
def test_an_attempt_that_fails_before_our_own_commit_is_not_overwritten_by_the_older_reply(stripe, clock):
    invoice = close_month()
    deliver_due(clock=clock, limit=1)

    def decline_at_once(point: FailPoint) -> None:
        if point == FailPoint.DELIVERY_STEP_SENT and stripe.objects("invoice")[0]["status"] == "open":
            fail_points.install(None)
            stripe.dashboard.decline(stripe.objects("invoice")[0]["id"])
            ring(stripe, clock.at)
            stripe_events.process_due(clock=clock)
            assert Invoice.objects.get(pk=invoice.pk).status == InvoiceStatus.FAILED

    fail_points.install(decline_at_once)
    drain(clock)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.attempt_count) == (InvoiceStatus.FAILED, 1)
    assert_invariants(stripe)


def test_a_payment_that_comes_before_our_own_commit_walks_draft_sent_paid(stripe, clock):
    invoice = close_month()
    deliver_due(clock=clock, limit=1)

    def pay_at_once(point: FailPoint) -> None:
        if point == FailPoint.DELIVERY_STEP_SENT and stripe.objects("invoice")[0]["status"] == "open":
            fail_points.install(None)
            stripe.dashboard.pay_invoice(stripe.objects("invoice")[0]["id"])
            ring(stripe, clock.at)
            stripe_events.process_due(clock=clock)

    fail_points.install(pay_at_once)
    drain(clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.PAID
    assert_invariants(stripe)


def test_a_frozen_payload_cannot_be_changed_at_all(clock):
    close_month()
    with pytest.raises(Exception, match="outbox_payload_frozen"):
        execute("UPDATE billing_outboxmessage SET payload = 'x'")


def test_a_key_that_stripe_does_not_accept_parks_nobody_and_stops_the_drain(stripe, clock, settings):
    close_month(), close_month()
    settings.STRIPE_API_KEY = "sk_test_revoked"

    summary = deliver_due(clock=clock)

    assert summary.not_authorized
    assert summary.counts["taken"] == 1
    assert not ParkedOffice.objects.exists()


def test_the_lines_of_an_invoice_that_was_voided_are_owed_no_more(stripe, clock):
    invoice = close_month()
    drain(clock)
    stripe.dashboard.void(stripe.objects("invoice")[0]["id"])
    ring(stripe, clock.at)
    stripe_events.process_due(clock=clock)

    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.CANCELED
    assert not LineItem.objects.filter(invoice=invoice, live=True).exists()
