"""Whatever Stripe does to a request: one live Stripe invoice with the right total in the end, nothing lost."""

import json

import pytest

from audit.models import AuditEntry
from billing.delivery import deliver_due
from billing.models import (
    Invoice,
    InvoiceStatus,
    MessageKind,
    MessageStatus,
    OutboundRequest,
    OutboxMessage,
    OutboxStep,
    ParkedOffice,
    ParkingCode,
)
from billing.unparking import unpark_office
from sandbox.stripe_standin import Fault, Faults
from tests.billing.scenes import CLOSED_AT, TOTAL_CENTS, SharedClock, close_month, drain
from tests.builders import ACTOR
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db

WRITES = ["POST /v1/customers", "POST /v1/invoices", "POST /v1/invoiceitems", "POST /v1/invoices/{id}/finalize"]
READ = "GET /v1/invoices/{id}"
PASSING = [
    Fault.RATE_LIMITED,
    Fault.CONFLICT,
    Fault.KEY_IN_USE,
    Fault.UNAVAILABLE,
    Fault.HANG_BEFORE_COMMIT,
    Fault.ERROR_BEFORE_COMMIT,
    Fault.ERROR_AFTER_COMMIT,
    Fault.HANG_AFTER_COMMIT,
    Fault.MALFORMED_BODY,
    Fault.HUGE_BODY,
    Fault.PRUNED_KEYS,
]


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


def assert_sent_once(stripe, invoice: Invoice) -> None:
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    (held,) = stripe.objects("invoice")
    assert (held["status"], held["total"], held["id"]) == ("open", TOTAL_CENTS, invoice.stripe_invoice_id)
    assert len(stripe.objects("customer")) == 1
    assert len(stripe.objects("invoiceitem")) == 2
    assert stripe.left_over() == {}
    assert_invariants(stripe)


@pytest.mark.parametrize("target", [*WRITES, READ])
@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name.lower())
def test_a_fault_that_passes_leaves_one_invoice_with_the_right_total(stripe, clock, target, fault):
    invoice = close_month()
    stripe.script(target, [fault])

    drain(clock)

    assert_sent_once(stripe, invoice)
    assert not ParkedOffice.objects.exists()


@pytest.mark.parametrize("target", WRITES)
def test_one_fault_after_the_other_on_the_same_write_still_leaves_one_invoice(stripe, clock, target):
    invoice = close_month()
    stripe.script(
        target, [Fault.ERROR_BEFORE_COMMIT, Fault.RATE_LIMITED, Fault.HANG_BEFORE_COMMIT, Fault.HANG_AFTER_COMMIT]
    )

    drain(clock)

    assert len(stripe.objects("invoice")) == 1
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.SENT
    assert_invariants(stripe)


def message_of(kind: MessageKind = MessageKind.CUSTOMER) -> OutboxMessage:
    return OutboxMessage.objects.get(kind=kind)


def test_after_a_429_the_message_waits_as_long_as_stripe_says(stripe, clock):
    close_month()
    stripe.script("POST /v1/customers", [Fault.RATE_LIMITED])
    summary = deliver_due(clock=clock)

    message = message_of()
    assert [(trouble.code, trouble.parked) for trouble in summary.troubles] == [("rate_limited", False)]
    assert (message.status, message.error_code) == (MessageStatus.PENDING, "rate_limited")
    assert (message.next_attempt_at - clock()).total_seconds() == 1  # the stand-in's Retry-After
    assert deliver_due(clock=clock).counts == {}
    clock.forward(seconds=1)
    assert deliver_due(clock=clock).counts["delivered"] == 2


def test_a_server_error_waits_for_the_back_off_of_the_row(stripe, clock):
    close_month()
    stripe.script("POST /v1/customers", [Fault.UNAVAILABLE])
    deliver_due(clock=clock)

    assert 5 <= (message_of().next_attempt_at - clock()).total_seconds() <= 6.25
    assert message_of().error_code == "server_error"


def step(operation: str) -> OutboxStep:
    return OutboxStep.objects.get(operation=operation)


def test_a_key_that_would_replay_an_error_is_renewed_after_the_look_and_this_is_audited(stripe, clock):
    invoice = close_month()
    stripe.script("POST /v1/invoices", [Fault.ERROR_BEFORE_COMMIT])
    drain(clock)

    assert (clock.at - CLOSED_AT).total_seconds() < 60  # not only once the old key is forgotten
    assert step("create_invoice").key_version == 2
    assert step("create_customer").key_version == 1
    assert renewals() == ["create_invoice"]
    assert_sent_once(stripe, invoice)


def renewals() -> list[str]:
    entries = AuditEntry.objects.filter(action="outbox.key_renewed")
    return [json.loads(entry.payload)["operation"] for entry in entries]


@pytest.mark.parametrize("fault", [Fault.HANG_AFTER_COMMIT, Fault.ERROR_AFTER_COMMIT, Fault.MALFORMED_BODY])
@pytest.mark.parametrize("target", WRITES)
def test_a_write_that_arrived_is_found_and_never_sent_again(stripe, clock, target, fault):
    close_month()
    stripe.script(target, [fault])
    drain(clock)

    wanted = 2 if target == "POST /v1/invoiceitems" else 1
    assert stripe.counts()[target] == wanted
    assert set(OutboxStep.objects.values_list("key_version", flat=True)) == {1}


def test_a_key_is_used_again_while_stripe_remembers_it(stripe, clock):
    close_month()
    stripe.script("POST /v1/invoices", [Fault.HANG_BEFORE_COMMIT])
    drain(clock)

    keys = OutboundRequest.objects.filter(operation="create_invoice").values_list("idempotency_key", flat=True)
    assert len(keys) == 2
    assert len(set(keys)) == 1


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE_COMMIT, Fault.HANG_AFTER_COMMIT])
@pytest.mark.parametrize("target", WRITES)
def test_a_message_that_slept_longer_than_stripe_keeps_keys_is_not_sent_blindly(stripe, clock, target, fault):
    invoice = close_month()
    stripe.script(target, [fault])
    deliver_due(clock=clock)
    clock.forward(hours=25)
    stripe.dashboard.prune_idempotency_keys()

    drain(clock)

    assert_sent_once(stripe, invoice)
    lost = fault is Fault.HANG_BEFORE_COMMIT
    assert sorted(OutboxStep.objects.values_list("key_version", flat=True))[-1] == (2 if lost else 1)


def test_an_answer_of_stripe_held_back_is_the_same_invoice(stripe, clock):
    """A replay: the same key gets the first answer, and the look found what it made."""
    invoice = close_month()
    stripe.script("POST /v1/invoices", [Fault.HANG_AFTER_COMMIT])
    stripe.script("GET /v1/invoices", [Fault.UNAVAILABLE, Fault.RATE_LIMITED, Fault.MALFORMED_BODY])
    drain(clock)

    assert stripe.counts()["POST /v1/invoices"] == 1
    assert_sent_once(stripe, invoice)


def test_stripe_down_for_two_days_then_back_drains_by_itself(stripe, clock):
    invoices = [close_month() for _ in range(3)]
    stripe.go_down()
    ends = clock.at.timestamp() + 48 * 3600
    while clock.at.timestamp() < ends:
        deliver_due(clock=clock)
        clock.forward(minutes=61)
    attempts = max(OutboxMessage.objects.values_list("attempts", flat=True))
    stripe.come_back()
    drain(clock)

    assert attempts <= 60  # the back-off holds: no more than one try in 48 minutes at the end
    for invoice in invoices:
        invoice.refresh_from_db()
        assert invoice.status == InvoiceStatus.SENT
    assert len(stripe.objects("invoice")) == len(stripe.objects("customer")) == 3
    assert not ParkedOffice.objects.exists()
    assert_invariants(stripe)


def test_a_port_nobody_listens_on_is_tried_again(stripe, clock):
    invoice = close_month()
    stripe.stop()
    summary = deliver_due(clock=clock)
    assert [trouble.code for trouble in summary.troubles] == ["connect_failed"]
    stripe.start()
    drain(clock)

    assert_sent_once(stripe, invoice)


@pytest.mark.parametrize("seed", range(4))
def test_faults_drawn_from_a_seed_double_and_lose_nothing(stripe, clock, seed):
    invoices = [close_month() for _ in range(3)]
    faults = Faults.everything(seed, 0.4)
    lies = {Fault.WRONG_TOTAL, Fault.WRONG_CURRENCY, Fault.WRONG_STATUS}
    faults.rates = {fault: rate for fault, rate in faults.rates.items() if fault not in lies}
    faults.on_reads = True
    stripe._api.faults = faults
    drain(clock)

    assert {Invoice.objects.get(pk=invoice.pk).status for invoice in invoices} == {InvoiceStatus.SENT}
    assert [held["total"] for held in stripe.objects("invoice")] == [TOTAL_CENTS] * 3
    assert len(stripe.objects("customer")) == 3
    assert_invariants(stripe)


# --- Stripe lies: our books stay, the office is parked ---
def assert_parked(invoice: Invoice, code: ParkingCode) -> None:
    parked = ParkedOffice.objects.get(office=invoice.office_id, unparked_at__isnull=True)
    assert parked.code == code
    assert message_of(MessageKind.INVOICE).status == MessageStatus.PARKED
    invoice.refresh_from_db()
    assert (invoice.status, invoice.total_cents) == (InvoiceStatus.DRAFT, TOTAL_CENTS)


def test_another_total_parks_before_anything_is_payable(stripe, clock):
    invoice = close_month()
    stripe.script(READ, [Fault.WRONG_TOTAL])
    deliver_due(clock=clock)

    assert_parked(invoice, ParkingCode.STRIPE_TOTAL_DIFFERS)
    assert stripe.objects("invoice")[0]["status"] == "draft"
    assert stripe.counts().get("POST /v1/invoices/{id}/finalize", 0) == 0
    assert_invariants(stripe)


def test_a_line_that_somebody_added_at_stripe_parks_and_goes_on_once_it_is_gone(stripe, clock):
    invoice = close_month()
    stripe.script("POST /v1/invoices/{id}/finalize", [Fault.HANG_BEFORE_COMMIT])
    deliver_due(clock=clock)
    (held,) = stripe.objects("invoice")
    stripe.dashboard.edit("invoice", held["id"], total=held["total"] + 500)
    clock.forward(minutes=5)
    deliver_due(clock=clock)
    assert_parked(invoice, ParkingCode.STRIPE_TOTAL_DIFFERS)

    stripe.dashboard.edit("invoice", held["id"], total=held["total"])
    unpark_office(office_id=invoice.office_id, reason="line removed", actor=ACTOR, now=clock.at)
    drain(clock)

    assert_sent_once(stripe, invoice)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (Fault.WRONG_TOTAL, ParkingCode.STRIPE_TOTAL_DIFFERS),
        (Fault.WRONG_STATUS, ParkingCode.STRIPE_OBJECT_UNEXPECTED),
    ],
)
def test_a_finalization_that_answers_with_another_invoice_parks_and_our_books_stay(stripe, clock, lie, code):
    invoice = close_month()
    stripe.script("POST /v1/invoices/{id}/finalize", [lie])
    deliver_due(clock=clock)

    assert_parked(invoice, code)
    unpark_office(office_id=invoice.office_id, reason="looked at Stripe", actor=ACTOR, now=clock.at)
    drain(clock)
    assert_sent_once(stripe, invoice)


@pytest.mark.parametrize("target", [READ, "POST /v1/invoices", "POST /v1/invoices/{id}/finalize"])
def test_a_reply_in_a_currency_we_never_use_is_no_reply_and_fetched_again(stripe, clock, target):
    invoice = close_month()
    stripe.script(target, [Fault.WRONG_CURRENCY])
    summary = deliver_due(clock=clock)
    assert [trouble.code for trouble in summary.troubles] == ["malformed"]

    drain(clock)

    assert_sent_once(stripe, invoice)


def test_a_draft_that_reads_as_void_parks(stripe, clock):
    invoice = close_month()
    stripe.script(READ, [Fault.WRONG_STATUS])
    deliver_due(clock=clock)

    assert_parked(invoice, ParkingCode.STRIPE_OBJECT_UNEXPECTED)


def test_what_stripe_refuses_parks_with_its_code_and_is_sent_again_once_it_is_mended(stripe, clock):
    """The key keeps the refusal for a day: after the unpark it must be another one."""
    invoice = close_month()
    deliver_due(clock=clock, limit=1)
    (customer,) = stripe.objects("customer")
    stripe.dashboard.edit("customer", customer["id"], email=None)
    deliver_due(clock=clock)
    assert_parked(invoice, ParkingCode.STRIPE_REFUSED)

    stripe.dashboard.edit("customer", customer["id"], email=customer["email"])
    unpark_office(office_id=invoice.office_id, reason="e-mail set", actor=ACTOR, now=clock.at)
    drain(clock)

    assert_sent_once(stripe, invoice)


def test_a_customer_deleted_at_stripe_parks(stripe, clock):
    invoice = close_month()
    deliver_due(clock=clock, limit=1)
    stripe.dashboard.delete_customer(stripe.objects("customer")[0]["id"])
    deliver_due(clock=clock)

    assert_parked(invoice, ParkingCode.STRIPE_REFUSED)
    assert message_of(MessageKind.INVOICE).error_code == "resource_missing"
