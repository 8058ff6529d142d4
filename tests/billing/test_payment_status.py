"""Stripe's state becomes our status: every pair of the two, once, and what each move leaves behind."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from audit.models import AuditEntry
from billing import payment_status
from billing.billing_run import run_due
from billing.models import HostedInvoicePage, Invoice, InvoiceStatus, Payment
from billing.payment_status import InvoiceDiffers, VersionChanged, refresh_past_due
from billing.stripe_gateway.inbound import InboundInvoice, InboundPayment, InvoiceState, PaymentState, PaymentType
from billing.stripe_gateway.outbound_values import CollectionMethod, Currency, InvoiceKind, StripeId
from offices.models import Office
from tests.billing.scenes import CLOSED_AT, TOTAL_CENTS, close_month
from tests.builders import ACTOR
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db

NOW = CLOSED_AT + timedelta(days=1)
DUE = int((CLOSED_AT + timedelta(days=30)).timestamp())
HOSTED = "https://invoice.stripe.com/i/acct_1/test_1"


@pytest.fixture
def invoice():
    return close_month()


def seen_as(invoice: Invoice, state: str, **fields) -> InboundInvoice:
    """Return our invoice as Stripe would show it in this state; `failed attempt` is open after an attempt."""
    attempts = 1 if state == "failed attempt" else 0
    values = {
        "id": StripeId("in_1Ours"),
        "customer_id": StripeId("cus_1Ours"),
        "status": InvoiceState.OPEN if attempts else InvoiceState(state),
        "currency": Currency("usd"),
        "collection_method": CollectionMethod("send_invoice"),
        "total_cents": TOTAL_CENTS,
        "amount_due_cents": TOTAL_CENTS,
        "amount_paid_cents": 0,
        "amount_remaining_cents": TOTAL_CENTS,
        "starting_balance_cents": 0,
        "ending_balance_cents": None,
        "own_invoice_id": invoice.pk,
        "own_cycle": None,
        "own_kind": InvoiceKind("monthly"),
        "attempted": bool(attempts),
        "attempt_count": attempts,
        "auto_advance": True,
        "created": int(CLOSED_AT.timestamp()),
        "due_date": DUE,
        "finalized_at": None,
        "paid_at": int(NOW.timestamp()) - 60 if state == "paid" else None,
        "voided_at": None,
        "marked_uncollectible_at": None,
        "hosted_invoice_url": HOSTED,
        "number": "AB-0001",
        "description_matches": True,
        "foreign_fields": (),
        "lines": (),
        "lines_have_more": False,
        "payments": (),
        "payments_expanded": True,
        "payments_have_more": False,
        "overpaid_cents": 0,
        "credited_before_payment_cents": 0,
        "credited_after_payment_cents": 0,
        "finalization_failed": False,
    }
    return InboundInvoice(**values | fields)


def apply(invoice: Invoice, seen: InboundInvoice, *, now: datetime = NOW, read_version: int | None = None) -> str:
    with transaction.atomic():
        return payment_status.apply(
            invoice_id=invoice.pk, seen=seen, actor=ACTOR, now=now, read_version=read_version
        ).value


WAY_TO = {
    "draft": [],
    "sent": ["open"],
    "paid": ["open", "paid"],
    "failed": ["failed attempt"],
    "canceled": ["open", "void"],
}
#                 draft    open      failed attempt  paid    uncollectible  void
BECOMES = {
    "draft":    ("draft", "sent", "failed", "paid", "failed", "canceled"),
    "sent":     ("sent", "sent", "failed", "paid", "failed", "canceled"),
    "failed":   ("failed", "sent", "failed", "paid", "failed", "canceled"),
    "paid":     ("paid", "paid", "paid", "paid", "paid", "paid"),
    "canceled": ("canceled",) * 6,
}  # fmt: skip
STATES = ("draft", "open", "failed attempt", "paid", "uncollectible", "void")
PAIRS = [(ours, state, BECOMES[ours][place]) for ours in BECOMES for place, state in enumerate(STATES)]


def test_the_table_has_every_pair_of_our_status_and_stripes_state():
    assert set(BECOMES) == set(InvoiceStatus.values)
    assert set(STATES) - {"failed attempt"} == {state.value for state in InvoiceState}


@pytest.mark.parametrize(("ours", "state", "then"), PAIRS)
def test_our_status_and_stripes_state_make_the_next_status(invoice, ours, state, then):
    for step in WAY_TO[ours]:
        apply(invoice, seen_as(invoice, step))
    assert Invoice.objects.get(pk=invoice.pk).status == ours

    assert apply(invoice, seen_as(invoice, state)) == then

    invoice.refresh_from_db()
    assert invoice.status == then
    assert invoice.total_cents == TOTAL_CENTS
    assert_invariants()


def moves(invoice: Invoice) -> list[tuple[str, str, str]]:
    entries = AuditEntry.objects.filter(action="invoice.status_changed").order_by("seq")
    payloads = [json.loads(entry.payload) for entry in entries]
    return [(each["from"], each["to"], each["stripe"]) for each in payloads if each["invoice"] == str(invoice.pk)]


def test_paid_seen_before_sent_walks_both_with_an_entry_each(invoice):
    apply(invoice, seen_as(invoice, "paid"))

    assert moves(invoice) == [("draft", "sent", "paid"), ("sent", "paid", "paid")]
    invoice.refresh_from_db()
    assert invoice.sent_at == NOW
    assert invoice.paid_at == NOW - timedelta(minutes=1)  # when Stripe was paid, not when we heard of it


def test_failed_seen_before_sent_walks_both(invoice):
    apply(invoice, seen_as(invoice, "failed attempt"))

    assert moves(invoice) == [("draft", "sent", "open"), ("sent", "failed", "open")]


def test_the_same_news_twice_leaves_no_second_entry_and_no_new_version(invoice):
    apply(invoice, seen_as(invoice, "open"))
    before = Invoice.objects.filter(pk=invoice.pk).values().get()
    apply(invoice, seen_as(invoice, "open"), now=NOW + timedelta(hours=1))

    assert Invoice.objects.filter(pk=invoice.pk).values().get() == before
    assert len(moves(invoice)) == 1


def test_a_stale_fetch_writes_nothing(invoice):
    stale = seen_as(invoice, "failed attempt")
    apply(invoice, seen_as(invoice, "open"), read_version=0)

    with pytest.raises(VersionChanged):
        apply(invoice, stale, read_version=0)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.version, invoice.attempt_count) == ("sent", 1, 0)
    assert apply(invoice, seen_as(invoice, "paid"), read_version=1) == "paid"


@pytest.mark.parametrize(
    "difference",
    [
        {"total_cents": TOTAL_CENTS + 1},
        {"total_cents": 0},
        {"own_invoice_id": None},
        {"id": StripeId("in_1Another")},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_another_invoice_than_ours_changes_nothing(invoice, difference):
    apply(invoice, seen_as(invoice, "open"))
    before = Invoice.objects.filter(pk=invoice.pk).values().get()

    with pytest.raises(InvoiceDiffers):
        apply(invoice, replace(seen_as(invoice, "paid"), **difference))

    assert Invoice.objects.filter(pk=invoice.pk).values().get() == before
    assert not Payment.objects.exists()


def test_a_draft_at_stripe_may_have_another_total_while_it_is_built(invoice):
    assert apply(invoice, seen_as(invoice, "draft", total_cents=0)) == "draft"


def payment(state: str, **fields) -> InboundPayment:
    values = {
        "id": StripeId("inpay_1"),
        "invoice_id": StripeId("in_1"),
        "type": PaymentType.PAYMENT_INTENT,
        "status": PaymentState(state),
        "amount_paid_cents": TOTAL_CENTS if state == "paid" else None,
        "amount_requested_cents": TOTAL_CENTS,
        "currency": Currency("usd"),
        "paid_at": int(NOW.timestamp()) if state == "paid" else None,
        "payment_intent_id": StripeId("pi_1"),
        "charge_id": None,
    }
    return InboundPayment(**values | fields)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("open", "paid", "paid"),
        ("open", "canceled", "canceled"),
        ("canceled", "paid", "paid"),
        ("paid", "open", "paid"),
        ("paid", "canceled", "paid"),
    ],
)
def test_a_payment_is_one_row_that_never_loses_its_money(invoice, first, second, kept):
    apply(invoice, seen_as(invoice, "open", payments=(payment(first),)))
    apply(invoice, seen_as(invoice, "open", payments=(payment(second),)))

    row = Payment.objects.get()
    assert (row.stripe_payment_id, row.status) == ("inpay_1", kept)
    assert row.amount_paid_cents == (TOTAL_CENTS if kept == "paid" else 0)


def test_two_payments_of_one_invoice_are_two_rows(invoice):
    half = TOTAL_CENTS // 2
    parts = [payment("paid", id=StripeId(f"inpay_{part}"), amount_paid_cents=half) for part in (1, 2)]
    apply(invoice, seen_as(invoice, "paid", payments=tuple(parts)))

    assert sorted(Payment.objects.values_list("stripe_payment_id", "amount_paid_cents")) == [
        ("inpay_1", half),
        ("inpay_2", half),
    ]


def test_the_payable_link_is_kept_sealed(invoice):
    apply(invoice, seen_as(invoice, "open"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT url FROM billing_hostedinvoicepage")
        (stored,) = cursor.fetchone()

    assert "stripe.com" not in stored
    assert HostedInvoicePage.objects.get().url == HOSTED


# --- Past due is derived ---
def past_due_since(invoice: Invoice) -> datetime | None:
    return Office.objects.get(pk=invoice.office_id).past_due_since


def test_the_due_date_is_stripes(invoice):
    apply(invoice, seen_as(invoice, "open"))
    assert Invoice.objects.get(pk=invoice.pk).due_at == datetime.fromtimestamp(DUE, UTC)


def test_an_office_is_past_due_from_the_due_date_on_until_it_pays(invoice):
    apply(invoice, seen_as(invoice, "open"))
    due = datetime.fromtimestamp(DUE, UTC)

    assert refresh_past_due(now=due) == 0
    assert past_due_since(invoice) is None
    assert refresh_past_due(now=due + timedelta(seconds=1)) == 1
    assert past_due_since(invoice) == due
    assert refresh_past_due(now=due + timedelta(days=5)) == 0

    apply(invoice, seen_as(invoice, "paid"), now=due + timedelta(days=6))
    assert past_due_since(invoice) is None


def test_a_failed_payment_is_past_due_at_once(invoice):
    apply(invoice, seen_as(invoice, "failed attempt"))
    assert past_due_since(invoice) == NOW


def test_a_failed_payment_without_a_due_date_is_past_due_since_it_failed(invoice):
    apply(invoice, seen_as(invoice, "failed attempt", due_date=None))
    assert past_due_since(invoice) == NOW


def test_a_voided_invoice_is_not_past_due(invoice):
    apply(invoice, seen_as(invoice, "failed attempt"))
    apply(invoice, seen_as(invoice, "void"))
    assert past_due_since(invoice) is None


def test_the_oldest_unpaid_invoice_says_since_when(invoice):
    later = CLOSED_AT + timedelta(days=31)
    run_due(as_of=later, actor=ACTOR, now=later)
    second = Invoice.objects.exclude(pk=invoice.pk).get(closed_at__isnull=False)
    apply(invoice, seen_as(invoice, "open"))
    next_due = DUE + 30 * 86_400
    apply(second, seen_as(second, "open", id=StripeId("in_2Ours"), due_date=next_due))
    after_both = datetime.fromtimestamp(next_due, UTC) + timedelta(days=1)

    refresh_past_due(now=after_both)
    assert past_due_since(invoice) == datetime.fromtimestamp(DUE, UTC)
    apply(invoice, seen_as(invoice, "paid"), now=after_both)
    assert past_due_since(invoice) == datetime.fromtimestamp(next_due, UTC)


def test_only_the_named_offices_are_looked_at(invoice):
    other = close_month()
    for each, number in ((invoice, 1), (other, 2)):
        apply(each, seen_as(each, "open", id=StripeId(f"in_{number}Ours")))
    late = datetime.fromtimestamp(DUE, UTC) + timedelta(days=1)

    assert refresh_past_due([invoice.office_id], now=late) == 1
    assert past_due_since(other) is None
    assert refresh_past_due(now=late) == 1
