"""Lists decrypt nothing, ask few questions whatever their length, and find by whole values."""

from datetime import timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import read_only
from billing.billing_run import run_due
from billing.models import (
    BillingCycle,
    Correction,
    CorrectionKind,
    Discrepancy,
    HostedInvoicePage,
    Invoice,
    LineItem,
    OutboundRequest,
    OutboxMessage,
    OutboxStep,
    ParkedOffice,
    ReconciliationRun,
    StripeEvent,
)
from offices.models import Office, OfficeStripeAccount, Plan
from patients.models import Patient
from tests.billing.admin.conftest import PAGES, detail_address, list_address
from tests.billing.scenes import CLOSED_AT
from tests.builders import ACTOR

MOST_QUERIES = 15  # issue: each page at most 15


def test_no_list_decrypts_anything(books, boss, decrypted):
    for address in ["/admin/", *map(list_address, PAGES)]:
        assert boss.get(address).status_code == 200
        assert decrypted == [], address


def test_the_page_of_a_row_decrypts_only_what_it_shows(books, boss, decrypted):
    for model in PAGES:
        if model not in {OfficeStripeAccount, HostedInvoicePage, OutboxStep, OutboundRequest, StripeEvent}:
            assert boss.get(detail_address(model)).status_code == 200
            assert decrypted == [], model


def test_pages_ask_few_questions_however_many_rows_there_are(more_books, boss):
    rows = {Invoice: more_books.pk, Office: more_books.office_id}
    details = [detail_address(model, rows.get(model)) for model in PAGES]
    for address in ["/admin/", *map(list_address, PAGES), *details]:
        with CaptureQueriesContext(connection) as asked:
            assert boss.get(address).status_code == 200
        assert len(asked) <= MOST_QUERIES, (address, [q["sql"][:150] for q in asked])


def desks(invoice):
    """Return the pages on which people decide."""
    row = {"discrepancy": Discrepancy.objects.get().pk, "correction": Correction.objects.get().pk}
    run = ReconciliationRun.objects.get().pk
    yield reverse("admin:billing_monthclose_month") + "?month=2026-02"
    yield reverse("admin:billing_reconciliationrun_desk") + "?month=2026-02"
    yield reverse("admin:billing_reconciliationrun_desk") + "?month=all"
    yield reverse("admin:billing_reconciliationrun_compare")
    yield reverse("admin:billing_reconciliationrun_repair", args=[run])
    yield reverse("admin:billing_monthclose_sign", args=["2026-02"])
    yield reverse("admin:billing_invoice_correct", args=[invoice.pk])
    yield from (reverse("admin:billing_invoice_ask", args=[invoice.pk, kind]) for kind in CorrectionKind)
    yield from (reverse(f"admin:billing_invoice_{name}", args=[invoice.pk]) for name in ("explain", "sent", "send"))
    for name in ("statement", "plan", "price", "status", "profile", "park"):
        yield reverse(f"admin:offices_office_{name}", args=[invoice.office_id])
    yield reverse("admin:offices_plan_new")
    yield reverse("admin:offices_plan_price", args=[Plan.objects.get().pk])
    for model, names in (
        ("discrepancy", ("own", "assign", "note", "accept", "repair")),
        ("correction", ("approve", "reject")),
    ):
        yield from (reverse(f"admin:billing_{model}_{name}", args=[row[model]]) for name in names)


def test_pages_on_which_people_decide_ask_few_questions_too(more_books, boss):
    for address in desks(more_books):
        with CaptureQueriesContext(connection) as asked:
            assert boss.get(address).status_code == 200
        assert len(asked) <= MOST_QUERIES, (address, [q["sql"][:150] for q in asked])


def test_the_balance_asks_few_questions_however_many_months(more_books, boss):
    address = reverse("admin:billing_discrepancy_balance")
    with CaptureQueriesContext(connection) as asked:
        months = boss.get(address).context["months"]
    assert len(asked) <= MOST_QUERIES
    later = CLOSED_AT + timedelta(days=62)
    run_due(as_of=later, actor=ACTOR, now=later)
    with CaptureQueriesContext(connection) as again:
        assert len(boss.get(address).context["months"]) > len(months)
    assert len(again) == len(asked)


def test_a_long_list_is_counted_no_further_than_anybody_turns_pages(more_books, boss, monkeypatch):
    monkeypatch.setattr(read_only, "LONGEST_COUNT", 4)
    page = boss.get(list_address(LineItem))
    assert page.context["cl"].result_count == 4
    assert "or more: filter or search" in page.content.decode()


def found(boss, model, term):
    return set(boss.get(list_address(model), {"q": term}).context["cl"].queryset)


def test_invoices_are_found_by_office_id_stripe_id_and_customer(more_books, boss):
    office = more_books.office
    of_the_office = set(Invoice.objects.filter(office=office))
    customer = OfficeStripeAccount.objects.get(office=office).customer_id
    assert found(boss, Invoice, office.reference) == found(boss, Invoice, customer) == of_the_office
    assert found(boss, Invoice, str(more_books.pk)) == found(boss, Invoice, f" {more_books.pk.hex} ") == {more_books}
    assert found(boss, Invoice, more_books.stripe_invoice_id) == {more_books}


def test_part_of_a_value_finds_nothing(books, boss):
    for term in ("clinic", "in_", "cus_", "%", "'", "00000000-0000-4000-8000-000000000000", books.office.name):
        for model in (Invoice, Office, OutboxMessage, ParkedOffice, Patient, OfficeStripeAccount):
            assert found(boss, model, term) == set()


def test_the_customer_of_an_office_is_found_under_every_index_key(books, boss, settings):
    customer = OfficeStripeAccount.objects.get().customer_id
    settings.BLIND_INDEX_KEYS = ["a-newer-blind-index-key-of-enough-length-01", *settings.BLIND_INDEX_KEYS]
    assert found(boss, Office, customer) == {books.office}


def test_a_month_is_chosen_by_filter(more_books, boss):
    page = boss.get(list_address(Invoice, "?cycle=2026-02"))
    assert {invoice.cycle.key for invoice in page.context["cl"].queryset} == {"2026-02"}
    months = page.context["cl"].filter_specs[2].lookup_choices
    assert months[0][0] == max(BillingCycle.objects.values_list("key", flat=True))
    assert len(months) == 18


def test_lines_are_found_by_invoice_and_by_account(books, boss):
    line = books.line_items.first()
    assert found(boss, LineItem, str(books.pk)) == set(books.line_items.all())
    assert line in found(boss, LineItem, str(line.patient_reference))


def test_the_trail_of_an_office_is_found_by_its_stream(books, boss):
    page = boss.get("/admin/audit/auditentry/", {"q": f"office:{books.office.reference}"})
    assert page.context["cl"].result_count > 3
