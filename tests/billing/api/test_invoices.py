"""Invoices over HTTP: product.md's names, one shape, nothing decrypted, a fixed number of queries."""

import re
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.billing_run import run_due
from billing.models import HostedInvoicePage, Invoice, InvoiceStatus, LineItem, Payment, Scope
from offices.models import OfficeStatus, Plan, PriceOverride
from tests.billing.api.conftest import NOW, Portal, codes
from tests.builders import ACTOR, make_office, make_patient, utc

FIELDS = {
    "invoice_id", "office_id", "billing_period_start", "billing_period_end", "total_amount", "currency", "status",
    "stripe_invoice_id", "invoice_type", "created_at", "updated_at",
}  # fmt: skip
EXPLAINED = {
    "line_items", "line_items_next", "totals", "hosted_invoice_url",
    "payments", "refunds", "credit_notes", "disputes", "corrections",
}  # fmt: skip
LINE_FIELDS = {
    "line_item_id", "description", "quantity", "unit_price", "total_price", "item_type", "anonymous_patient_ref",
    "cycle", "price", "reason",
}  # fmt: skip


@pytest.fixture
def busy_portal(portal):
    """A portal whose office has a closed month with one patient and an open month with two."""
    two_months(portal)
    return portal


def two_months(portal):
    make_patient(portal.office, (utc("2026-02-20"), None))
    run_due(as_of=utc("2026-02-21"), actor=ACTOR, now=utc("2026-02-21"))
    run_due(as_of=utc("2026-03-16"), actor=ACTOR, now=utc("2026-03-16"))
    patient = make_patient(portal.office)
    assert portal.post(f"billing/patients/{patient.pk}/activate").status_code == 201


def _statements(call):
    with CaptureQueriesContext(connection) as captured:
        response = call()
    assert response.status_code == 200, response.content
    # Not the statement that enters the second wall.
    return [each["sql"] for each in captured if re.match("SELECT(?! set_config)", each["sql"])]


# --- POST billing/invoices ---
def test_the_open_monthly_invoice_is_made_once(portal):
    body = {"office_id": str(portal.office.pk), "invoice_type": "monthly"}
    first, second = portal.post("billing/invoices", body), portal.post("billing/invoices", body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert set(first.json()) == FIELDS | EXPLAINED
    assert first.json()["billing_period_start"] == "2026-03-15"
    assert first.json()["billing_period_end"] == "2026-04-15"
    assert first.json()["total_amount"] == "0.00"
    assert first.json()["status"] == "draft"


def test_a_setup_fee_invoice_takes_the_plans_amount(portal):
    Plan.objects.update(setup_fee_cents=25_000)
    response = portal.post("billing/invoices", {"office_id": str(portal.office.pk), "invoice_type": "setup_fee"})
    assert response.status_code == 201
    assert response.json()["invoice_type"] == "setup_fee"
    assert response.json()["total_amount"] == "250.00"
    assert response.json()["billing_period_start"] is None
    assert [line["item_type"] for line in response.json()["line_items"]] == ["setup_fee"]


def test_a_one_off_invoice_needs_a_reason_and_an_amount(portal):
    body = {"office_id": str(portal.office.pk), "invoice_type": "one_off"}
    assert codes(portal.post("billing/invoices", body)) == {"reason": "required"}
    body["reason"] = "training"
    assert codes(portal.post("billing/invoices", body)) == {"amount": "required"}
    body["amount"] = "99.5"
    response = portal.post("billing/invoices", body)
    assert response.status_code == 201
    assert response.json()["total_amount"] == "99.50"
    assert response.json()["line_items"][0]["description"] == "One-off charge: Training"


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"invoice_type": "monthly", "amount": "1.00"}, "amount"),
        ({"invoice_type": "monthly", "reason": "training"}, "reason"),
        ({"invoice_type": "setup_fee", "reason": "training"}, "reason"),
        ({"invoice_type": "one_off", "reason": "setup_fee", "amount": "1.00"}, "reason"),
        ({"invoice_type": "yearly"}, "invoice_type"),
        ({"invoice_type": 1}, "invoice_type"),
        ({}, "invoice_type"),
        ({"invoice_type": "monthly", "surprise": 1}, "surprise"),
        ({"invoice_type": "monthly", "office_id": 7}, "office_id"),
        ({"invoice_type": "monthly", "office_id": None}, "office_id"),
    ],
)
def test_a_malformed_invoice_is_refused_and_names_the_field(portal, body, attr):
    response = portal.post("billing/invoices", {"office_id": str(portal.office.pk)} | body)
    assert response.status_code == 400
    assert list(codes(response)) == [attr]
    assert not Invoice.objects.exists()


def test_a_charge_through_the_invoice_route_needs_the_charges_scope_too(office):
    portal = Portal(office, scopes={Scope.INVOICES_WRITE})
    body = {"office_id": str(office.pk), "invoice_type": "setup_fee"}
    response = portal.post("billing/invoices", body)
    assert response.status_code == 403
    assert codes(response) == {None: "scope_missing"}
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("status", [OfficeStatus.CANCELED, OfficeStatus.INACTIVE])
def test_an_office_that_is_not_live_gets_no_monthly_invoice(noon, status):
    portal = Portal(make_office(status=status))
    response = portal.post("billing/invoices", {"office_id": str(portal.office.pk), "invoice_type": "monthly"})
    assert response.status_code == 409
    assert codes(response) == {None: "office_not_billable"}


def test_a_canceled_invoice_of_the_open_cycle_is_not_made_again(portal):
    body = {"office_id": str(portal.office.pk), "invoice_type": "monthly"}
    portal.post("billing/invoices", body)
    Invoice.objects.update(status=InvoiceStatus.CANCELED, canceled_at=NOW)
    response = portal.post("billing/invoices", body)
    assert (response.status_code, codes(response)) == (409, {None: "no_open_invoice"})


def test_a_plan_without_a_price_is_a_conflict(portal):
    Plan.objects.get().prices.all().delete()
    response = portal.post("billing/invoices", {"office_id": str(portal.office.pk), "invoice_type": "monthly"})
    assert response.status_code == 409
    assert codes(response) == {None: "no_price_version"}


# --- GET billing/invoices/{office_id} ---
def test_the_list_shows_the_newest_first_with_running_and_frozen_totals(busy_portal):
    response = busy_portal.get(f"billing/invoices/{busy_portal.office.pk}")
    assert response.status_code == 200
    rows = response.json()["results"]
    assert [set(row) for row in rows] == [FIELDS, FIELDS]
    assert [row["total_amount"] for row in rows] == ["4.00", "2.00"]
    assert [row["billing_period_start"] for row in rows] == ["2026-03-15", "2026-02-15"]
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"status": "draft"}, 2),
        ({"status": "paid"}, 0),
        ({"invoice_type": "monthly"}, 2),
        ({"invoice_type": "one_off"}, 0),
        ({"cycle": "2026-02"}, 1),
        ({"cycle": "2026-03", "status": "draft", "invoice_type": "monthly"}, 1),
    ],
)
def test_the_list_is_filtered(busy_portal, query, count):
    response = busy_portal.get(f"billing/invoices/{busy_portal.office.pk}", **query)
    assert len(response.json()["results"]) == count


@pytest.mark.parametrize(
    ("query", "attr", "code"),
    [
        ("status=unknown", "status", "invalid_choice"),
        ("status=", "status", "invalid_choice"),
        ("invoice_type=x%00", "invoice_type", "invalid_choice"),
        ("cycle=2026-13", "cycle", "invalid"),
        ("cycle=%00", "cycle", "null_characters_not_allowed"),
        ("surprise=1", "surprise", "unknown_parameter"),
        ("Jane%20Doe=1", "non_field_errors", "unknown_parameter"),
        ("format=json", "format", "unknown_parameter"),
        ("status=draft&status=paid", "status", "repeated"),
        ("page_size=0", "page_size", "invalid"),
        ("page_size=201", "page_size", "invalid"),
        ("page_size=%D9%A3", "page_size", "invalid"),
        ("page_size=", "page_size", "invalid"),
        ("cursor=!", "cursor", "invalid"),
        ("cursor=abcd", "cursor", "invalid"),
        ("cursor=", "cursor", "invalid"),
        ("cursor=%C3%A9", "cursor", "invalid"),
        ("cursor=cD1hYmM=", "cursor", "invalid"),  # p=abc
        ("cursor=cD0yMDI2LTAxLTAx", "cursor", "invalid"),  # p=2026-01-01, without a zone
        ("cursor=cD0wMDAxLTAxLTAxVDAwOjAwOjAwJTJCMjM6NTk=", "cursor", "invalid"),  # before the first instant
        ("cursor=bz0tMQ==", "cursor", "invalid"),  # o=-1
    ],
)
def test_a_query_that_is_not_known_or_not_valid_is_refused(portal, query, attr, code):
    response = portal.client.get(f"/api/billing/invoices/{portal.office.pk}?{query}")
    assert response.status_code == 400, response.content
    assert attr in codes(response)
    assert codes(response)[attr] == code or attr == "cycle"


def test_pages_hold_every_invoice_once_also_when_all_were_made_at_one_instant(portal):
    Invoice.objects.bulk_create(
        Invoice(office=portal.office, invoice_type="one_off", currency="USD", created_at=NOW, updated_at=NOW)
        for _ in range(7)
    )
    seen, url = [], f"/api/billing/invoices/{portal.office.pk}?page_size=3"
    while url:
        page = portal.client.get(url).json()
        seen += [row["invoice_id"] for row in page["results"]]
        url = page["next"]
    assert len(seen) == 7
    assert set(seen) == {str(pk) for pk in Invoice.objects.values_list("pk", flat=True)}


# --- GET billing/invoices/{office_id}/{invoice_id} ---
def test_the_detail_has_every_line_with_the_fixed_names(busy_portal):
    invoice = Invoice.objects.get(office=busy_portal.office, cycle__key="2026-03")
    response = busy_portal.get(f"billing/invoices/{busy_portal.office.pk}/{invoice.pk}")
    assert response.status_code == 200
    lines = response.json()["line_items"]
    assert [set(line) for line in lines] == [LINE_FIELDS, LINE_FIELDS]
    assert [line["item_type"] for line in lines] == ["active_patient", "patient_activation"]
    assert {line["unit_price"] for line in lines} == {line["total_price"] for line in lines} == {"2.00"}
    assert [line["description"] for line in lines] == [
        "Active patient account, 2026-03", "Patient account activated, 2026-03",
    ]  # fmt: skip
    references = {
        str(ref) for ref in LineItem.objects.filter(invoice=invoice).values_list("patient_reference", flat=True)
    }
    assert {line["anonymous_patient_ref"] for line in lines} == references


def test_a_canceled_invoice_still_shows_what_it_charged(busy_portal):
    invoice = Invoice.objects.get(office=busy_portal.office, cycle__key="2026-03")
    Invoice.objects.filter(pk=invoice.pk).update(status=InvoiceStatus.CANCELED, canceled_at=NOW)
    LineItem.objects.filter(invoice=invoice).update(live=False)
    detail = busy_portal.get(f"billing/invoices/{busy_portal.office.pk}/{invoice.pk}").json()
    assert (detail["status"], detail["total_amount"], len(detail["line_items"])) == ("canceled", "4.00", 2)


@pytest.mark.parametrize(
    "path",
    [
        "billing/invoices/{office}", "billing/payment-status/{invoice}", "billing/offices/{office}/summary", "patients",
        "billing/invoices/{office}/{invoice}",
    ],
)  # fmt: skip
def test_only_the_detail_decrypts_and_only_the_payable_link(busy_portal, decrypted, path):
    invoice = Invoice.objects.get(office=busy_portal.office, cycle__key="2026-02")
    Invoice.objects.update(internal_note="between us")
    HostedInvoicePage.objects.create(invoice=invoice, url="https://pay.example/1", updated_at=NOW)
    decrypted.clear()
    assert busy_portal.get(path.format(office=busy_portal.office.pk, invoice=invoice.pk)).status_code == 200
    of_the_detail = ["billing.hostedinvoicepage.url"] if path.endswith("{office}/{invoice}") else []
    assert decrypted == of_the_detail


def test_the_detail_explains_itself(portal):
    """A plan's price, an office's own, totals by type, payments, the page where it can be paid."""
    office = portal.office
    PriceOverride.objects.create(
        office=office, unit_price_cents=150, starts_on="2026-03-01", ends_on="2026-09-01", reason="x", created_at=NOW
    )
    two_months(portal)
    invoice = Invoice.objects.get(office=office, cycle__key="2026-03")
    LineItem.objects.create(
        invoice=invoice, item_type="adjustment", cycle_key="2026-02", patient_reference=uuid.uuid4(),
        unit_price_cents=200, created_at=NOW,
    )  # fmt: skip
    HostedInvoicePage.objects.create(invoice=invoice, url="https://pay.example/1", updated_at=NOW)
    Payment.objects.create(
        invoice=invoice, stripe_payment_id="inpay_1", status="paid", amount_requested_cents=600, amount_paid_cents=600,
        currency="USD", paid_at=NOW, recorded_at=NOW,
    )  # fmt: skip
    response = portal.get(f"billing/invoices/{office.pk}/{invoice.pk}")
    detail = response.json()
    lines = {line["item_type"]: line for line in detail["line_items"]}
    assert lines["active_patient"]["price"] == {
        "source": "office", "effective_on": "2026-03-01", "ends_on": "2026-09-01",
    }  # fmt: skip
    assert lines["adjustment"]["price"] == {"source": "plan", "effective_on": "2000-01-01", "ends_on": None}
    assert (lines["adjustment"]["cycle"], lines["active_patient"]["cycle"]) == ("2026-02", "2026-03")
    assert "closed" in lines["adjustment"]["reason"]
    assert {total["item_type"]: (total["quantity"], total["total_price"]) for total in detail["totals"]} == {
        "adjustment": (1, "2.00"), "active_patient": (1, "1.50"), "patient_activation": (1, "1.50"),
    }  # fmt: skip
    assert detail["total_amount"] == "5.00"
    assert detail["hosted_invoice_url"] == "https://pay.example/1"
    assert [(each["status"], each["amount_paid"]) for each in detail["payments"]] == [("paid", "6.00")]
    assert b"inpay_1" not in response.content


def test_a_trial_explains_why_nothing_is_charged(noon):
    portal = Portal(make_office(status=OfficeStatus.TRIALING))
    body = portal.post(f"billing/patients/{make_patient(portal.office).pk}/activate").json()
    assert [(line["unit_price"], line["price"]["source"]) for line in body["line_items"]] == [("0.00", "trial")]


# --- GET billing/payment-status/{invoice_id} ---
def test_the_payment_status_of_an_open_invoice_owes_its_running_total(busy_portal):
    invoice = Invoice.objects.get(office=busy_portal.office, cycle__key="2026-03")
    body = busy_portal.get(f"billing/payment-status/{invoice.pk}").json()
    assert (body["status"], body["total_amount"], body["amount_paid"]) == ("draft", "4.00", "0.00")
    assert (body["amount_due"], body["past_due"]) == ("4.00", False)


def _sent(portal, **fields):
    values = {"status": InvoiceStatus.SENT, "closed_at": NOW, "sent_at": NOW, "total_cents": 1000} | fields
    return Invoice.objects.create(
        office=portal.office, invoice_type="one_off", currency="USD", created_at=NOW, updated_at=NOW, **values
    )


@pytest.mark.parametrize(
    ("fields", "past_due", "amount_due"),
    [
        ({"due_at": utc("2026-03-19")}, True, "10.00"),
        ({"due_at": utc("2026-03-21")}, False, "10.00"),
        ({"status": InvoiceStatus.FAILED, "failed_at": NOW}, True, "10.00"),
        ({"status": InvoiceStatus.PAID, "paid_at": NOW}, False, "0.00"),
        ({"status": InvoiceStatus.CANCELED, "canceled_at": NOW}, False, "0.00"),
    ],
)
def test_past_due_is_derived(portal, fields, past_due, amount_due):
    body = portal.get(f"billing/payment-status/{_sent(portal, **fields).pk}").json()
    assert (body["past_due"], body["amount_due"]) == (past_due, amount_due)


def test_only_paid_payments_count_as_paid(portal):
    invoice = _sent(portal)
    for number, (state, paid) in enumerate([("paid", 400), ("open", 0), ("canceled", 0)]):
        Payment.objects.create(
            invoice=invoice, stripe_payment_id=f"inpay_{number}", status=state, amount_requested_cents=1000,
            amount_paid_cents=paid, currency="USD", recorded_at=NOW,
        )  # fmt: skip
    body = portal.get(f"billing/payment-status/{invoice.pk}").json()
    assert (body["amount_paid"], body["amount_due"]) == ("4.00", "6.00")


def test_an_invoice_that_does_not_exist_is_not_found(portal):
    for path in (f"billing/payment-status/{uuid.uuid4()}", f"billing/invoices/{portal.office.pk}/{uuid.uuid4()}"):
        assert portal.get(path).status_code == 404


# --- POST billing/charges/one-off ---
def test_a_one_off_charge_is_closed_and_queued_at_once(portal):
    body = {"office_id": str(portal.office.pk), "reason": "hardware", "amount": "125.00", "note": "two scanners"}
    response = portal.post("billing/charges/one-off", body)
    assert response.status_code == 201
    assert response.json()["total_amount"] == "125.00"
    assert b"scanners" not in response.content
    invoice = Invoice.objects.get(pk=response.json()["invoice_id"])
    assert invoice.closed_at == NOW
    assert invoice.internal_note == "two scanners"
    assert invoice.outbox_messages.count() == 1


def test_a_second_setup_fee_is_a_conflict(portal):
    body = {"office_id": str(portal.office.pk), "reason": "setup_fee", "amount": "10.00"}
    assert portal.post("billing/charges/one-off", body).status_code == 201
    response = portal.post("billing/charges/one-off", body)
    assert (response.status_code, codes(response)) == (409, {None: "setup_fee_already_charged"})


@pytest.mark.parametrize(
    ("status", "reason", "answer"),
    [
        (OfficeStatus.TRIALING, "training", (409, "office_trialing")),
        (OfficeStatus.TRIALING, "setup_fee", (409, "office_trialing")),
        (OfficeStatus.CANCELED, "setup_fee", (409, "office_closed")),
        (OfficeStatus.INACTIVE, "setup_fee", (409, "office_closed")),
    ],
)
def test_a_charge_that_the_offices_status_forbids_is_a_conflict(noon, status, reason, answer):
    portal = Portal(make_office(status=status))
    body = {"office_id": str(portal.office.pk), "reason": reason, "amount": "5.00"}
    response = portal.post("billing/charges/one-off", body)
    assert (response.status_code, codes(response)[None]) == answer


def test_a_canceled_office_can_get_a_final_one_off(noon):
    portal = Portal(make_office(status=OfficeStatus.CANCELED))
    body = {"office_id": str(portal.office.pk), "reason": "data_migration", "amount": "5.00"}
    assert portal.post("billing/charges/one-off", body).status_code == 201


@pytest.mark.parametrize(
    "amount",
    [5, 5.0, "5.001", "-5.00", "1e3", "1_000", "\u0665", "5.", ".5", "", " 5", "5\n", "1000000.00", "NaN", True, {}],
)
def test_an_amount_is_decimal_text_and_nothing_else(portal, amount):
    body = {"office_id": str(portal.office.pk), "reason": "training", "amount": amount}
    response = portal.post("billing/charges/one-off", body)
    assert (response.status_code, codes(response)) == (400, {"amount": "invalid"})


def test_a_note_is_text_of_bounded_length(portal):
    body = {"office_id": str(portal.office.pk), "reason": "training", "amount": "1.00"}
    assert codes(portal.post("billing/charges/one-off", body | {"note": 5})) == {"note": "invalid"}
    assert codes(portal.post("billing/charges/one-off", body | {"note": "n" * 2001})) == {"note": "max_length"}


# --- GET billing/offices/{office_id}/summary ---
def test_the_summary_is_the_running_total_of_the_open_cycle(busy_portal):
    body = busy_portal.get(f"billing/offices/{busy_portal.office.pk}/summary").json()
    assert body["status"] == "active"
    assert body["total_amount"] == "4.00"
    assert body["items"] == [
        {"item_type": "active_patient", "quantity": 1, "total_price": "2.00"},
        {"item_type": "patient_activation", "quantity": 1, "total_price": "2.00"},
    ]
    assert body["cycle"] == {
        "key": "2026-03", "billing_period_start": "2026-03-15", "billing_period_end": "2026-04-15",
        "unit_price": "2.00",
    }  # fmt: skip
    assert body["invoice_id"] == str(Invoice.objects.get(office=busy_portal.office, cycle__key="2026-03").pk)


def test_the_summary_of_an_office_without_a_cycle_is_empty(portal):
    body = portal.get(f"billing/offices/{portal.office.pk}/summary").json()
    assert (body["cycle"], body["invoice_id"], body["total_amount"], body["items"]) == (None, None, "0.00", [])


def test_the_summary_says_past_due_of_an_active_office_only(noon):
    for status, said in ((OfficeStatus.ACTIVE, "past_due"), (OfficeStatus.CANCELED, "canceled")):
        portal = Portal(make_office(status=status, past_due_since=NOW))
        assert portal.get(f"billing/offices/{portal.office.pk}/summary").json()["status"] == said


# --- Reads stay cheap ---
@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("billing/invoices/{office}", 2),  # the key, the page
        ("billing/invoices/{office}/{invoice}", 10),  # the key, invoice, lines, terms, link, five lists of its history
        ("billing/payment-status/{invoice}", 7),  # the key, the invoice, the same lists
        ("billing/offices/{office}/summary", 6),  # the key, office, cycle, invoice, items, status
        ("patients", 3),  # the key, the open cycle, the page
    ],
)
def test_a_read_takes_the_same_few_queries_however_much_there_is(busy_portal, path, queries):
    invoice = Invoice.objects.get(office=busy_portal.office, cycle__key="2026-03")
    path = path.format(office=busy_portal.office.pk, invoice=invoice.pk)
    assert len(_statements(lambda: busy_portal.get(path))) == queries
    for _ in range(20):
        patient = make_patient(busy_portal.office)
        busy_portal.post(f"billing/patients/{patient.pk}/activate")
        _sent(busy_portal)
    assert len(_statements(lambda: busy_portal.get(path))) == queries
