"""What a portal sees of an invoice's money after it was sent, and of one with more lines than an answer holds."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Correction, CreditNote, Dispute, Invoice, InvoiceStatus, LineItem, Payment, Refund
from tests.billing.api.conftest import NOW
from tests.builders import utc

LATER = utc("2026-03-20T13:00")
LISTS = ("payments", "refunds", "credit_notes", "disputes", "corrections")


@pytest.fixture
def sent(portal):
    """An invoice of 20.00 of which 5.00 was paid."""
    invoice = Invoice.objects.create(
        office=portal.office, invoice_type="one_off", currency="USD", created_at=NOW, updated_at=NOW,
        status=InvoiceStatus.SENT, closed_at=NOW, sent_at=NOW, total_cents=2000,
    )  # fmt: skip
    Payment.objects.create(
        invoice=invoice, stripe_payment_id="inpay_1", status="paid", amount_requested_cents=2000,
        amount_paid_cents=500, currency="USD", paid_at=NOW, recorded_at=NOW,
    )  # fmt: skip
    return invoice


def refund(invoice, status="succeeded", cents=100):
    return Refund.objects.create(
        invoice=invoice, stripe_refund_id=f"re_{uuid.uuid4().hex}", status=status, amount_cents=cents, currency="USD",
        refunded_at=NOW, recorded_at=NOW,
    )  # fmt: skip


def credit_note(invoice, status="issued", cents=300, before=300):
    return CreditNote.objects.create(
        id=uuid.uuid4(), invoice=invoice, stripe_credit_note_id=f"cn_{uuid.uuid4().hex}", status=status,
        amount_cents=cents, before_payment_cents=before, out_of_band_cents=0, currency="USD", issued_at=NOW,
        recorded_at=NOW,
    )  # fmt: skip


def dispute(invoice, status="under_review", cents=500):
    return Dispute.objects.create(
        invoice=invoice, stripe_dispute_id=f"dp_{uuid.uuid4().hex}", status=status, amount_cents=cents, currency="USD",
        opened_at=NOW, recorded_at=NOW,
    )  # fmt: skip


def correction(invoice, status="done", kind="credit", cents=300):
    decided = {"decided_by": "staff:b", "decided_at": LATER} if status != "requested" else {}
    return Correction.objects.create(
        invoice=invoice, kind=kind, status=status, reason="goodwill", note="said on the phone", amount_cents=cents,
        invoice_version=0, requested_by="staff:a", requested_at=NOW, expires_at=LATER, **decided,
    )  # fmt: skip


def read(portal, invoice):
    return [
        portal.get(f"billing/invoices/{portal.office.pk}/{invoice.pk}"),
        portal.get(f"billing/payment-status/{invoice.pk}"),
    ]


def test_the_detail_and_the_payment_status_tell_what_happened_to_the_money(portal, sent):
    refund(sent), credit_note(sent), dispute(sent), correction(sent)
    for response in read(portal, sent):
        body = response.json()
        assert body["refunds"] == [
            {"status": "succeeded", "amount": "1.00", "currency": "USD", "refunded_at": "2026-03-20T12:00:00Z"}
        ]
        assert body["credit_notes"] == [
            {"status": "issued", "amount": "3.00", "currency": "USD", "issued_at": "2026-03-20T12:00:00Z"}
        ]
        assert body["disputes"] == [
            {"status": "under_review", "amount": "5.00", "currency": "USD", "opened_at": "2026-03-20T12:00:00Z"}
        ]
        assert body["corrections"] == [
            {"kind": "credit", "status": "done", "amount": "3.00", "requested_at": "2026-03-20T12:00:00Z",
             "ended_at": None}
        ]  # fmt: skip
        assert [payment["amount_paid"] for payment in body["payments"]] == ["5.00"]


def test_neither_words_nor_people_nor_ids_at_stripe_are_told(portal, sent):
    refund(sent), credit_note(sent), dispute(sent), correction(sent)
    for response in read(portal, sent):
        text = response.content.decode()
        assert [word for word in ("phone", "goodwill", "staff:", "re_", "cn_", "dp_", "inpay_") if word in text] == []


def test_a_correction_that_nobody_has_approved_is_not_told(portal, sent):
    for status in ("rejected", "expired", "requested"):
        correction(sent, status=status)
    assert [response.json()["corrections"] for response in read(portal, sent)] == [[], []]


def test_a_credit_note_lowers_what_is_due_and_one_that_is_void_does_not(portal, sent):
    credit_note(sent), credit_note(sent, status="void")
    refund(sent), refund(sent, status="failed")
    body = portal.get(f"billing/payment-status/{sent.pk}").json()
    assert (body["amount_paid"], body["amount_due"]) == ("5.00", "12.00")  # 20.00 less 5.00 and 3.00
    assert (body["amount_credited"], body["amount_refunded"]) == ("3.00", "1.00")


def test_the_number_of_queries_does_not_depend_on_what_happened(portal, sent):
    def count():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            read(portal, sent)
        return len(queries)

    before = count()
    for _ in range(3):
        refund(sent), credit_note(sent), dispute(sent)
    assert count() == before


def test_the_neighbours_history_stays_theirs(portal, neighbour, sent):
    refund(sent)
    assert neighbour.get(f"billing/payment-status/{sent.pk}").status_code == 404


# --- More lines than one answer holds ---
def test_an_invoice_with_many_lines_is_read_in_pages_and_its_totals_are_whole(portal):
    invoice = Invoice.objects.create(
        office=portal.office, invoice_type="one_off", currency="USD", created_at=NOW, updated_at=NOW
    )
    LineItem.objects.bulk_create(
        LineItem(
            invoice=invoice, item_type="active_patient", cycle_key="2026-03", patient_reference=uuid.uuid4(),
            unit_price_cents=200, created_at=NOW,
        )
        for _ in range(1_003)
    )  # fmt: skip
    first = portal.get(f"billing/invoices/{portal.office.pk}/{invoice.pk}").json()
    assert len(first["line_items"]) == 1_000
    second = portal.client.get(first["line_items_next"]).json()
    assert (len(second["line_items"]), second["line_items_next"]) == (3, None)
    seen = {line["line_item_id"] for page in (first, second) for line in page["line_items"]}
    assert seen == {str(pk) for pk in LineItem.objects.values_list("pk", flat=True)}
    whole = [{"item_type": "active_patient", "quantity": 1_003, "total_price": "2006.00"}]
    assert [page["totals"] for page in (first, second)] == [whole, whole]
    assert {page["total_amount"] for page in (first, second)} == {"2006.00"}


def test_an_invoice_of_ordinary_size_is_whole(portal, ids):
    body = portal.get(f"billing/invoices/{ids['office']}/{ids['invoice']}").json()
    assert (len(body["line_items"]), body["line_items_next"]) == (1, None)


@pytest.mark.parametrize("after", ["", "1", "../x"])
def test_a_page_that_we_did_not_name_is_refused(portal, sent, after):
    response = portal.get(f"billing/invoices/{portal.office.pk}/{sent.pk}", line_items_after=after)
    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, "line_items_after")
