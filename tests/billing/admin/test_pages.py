"""Everything can be looked at, by those who may, and nothing says who a patient is."""

import re

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.db import transaction

from audit.models import AuditEntry, StreamHead
from billing.models import HostedInvoicePage, Incident, Invoice, LineItem, OutboundRequest, Payment, StripeEvent
from billing.staff_accounts import STREAM
from offices.models import Office, OfficeStripeAccount
from patients.identity import PatientIdentity
from patients.models import Patient
from tests.billing.admin.conftest import (
    MODELS,
    NOTE,
    PAGES,
    PERSON,
    detail_address,
    list_address,
    permit,
    registered,
)  # fmt: skip
from tests.builders import utc


def test_every_model_has_a_page_and_no_page_shows_anything_else():
    assert registered() == set(PAGES)


def test_a_superuser_sees_every_list_and_the_page_of_a_row(books, boss):
    for model in PAGES:
        listed = boss.get(list_address(model))
        assert listed.status_code == 200, model
        assert listed.context["cl"].result_count > 0, model
        assert boss.get(detail_address(model)).status_code == 200, model


def test_the_first_page_counts_what_needs_a_person_and_links_to_it(books, boss):
    page = boss.get("/admin/")
    counts = {each.title: each for each in page.context["attention"]}
    assert counts["Parked offices"].count == counts["Blocked attempts"].count == 1
    for each in counts.values():
        assert boss.get(each.address).context["cl"].result_count == each.count


def test_the_page_of_an_invoice_tells_the_whole_story(books, boss):
    page = boss.get(detail_address(Invoice, books.pk)).content.decode()
    assert "4.00 USD" in page
    assert page.count("2.00 USD") >= 2
    payment, event = Payment.objects.get(), StripeEvent.objects.filter(object_id=books.stripe_invoice_id).first()
    for told in (
        books.stripe_invoice_id, payment.stripe_payment_id[:12], detail_address(StripeEvent, event.pk),
        "create invoice", "invoice.closed",
        *(str(line.patient_reference) for line in books.line_items.all()),
    ):  # fmt: skip
        assert told in page


def test_a_page_that_is_cut_links_to_the_list_of_all(books, boss, monkeypatch):
    monkeypatch.setattr("audit.read_only.RELATED_ROWS", 1)
    page = boss.get(detail_address(Invoice, books.pk)).content.decode()
    more = re.findall(r'href="([^"]+)"[^>]*>The first 1 are shown', page)
    assert more
    for address in more:
        assert boss.get(address.replace("&amp;", "&")).context["cl"].result_count > 1


def test_a_payable_link_and_a_customer_id_are_shown_on_their_own_page_only(books, boss):
    shown = {HostedInvoicePage: HostedInvoicePage.objects.get().url,
             OfficeStripeAccount: OfficeStripeAccount.objects.get().customer_id}  # fmt: skip
    for model, secret in shown.items():
        assert secret in boss.get(detail_address(model)).content.decode()
        assert secret not in boss.get(list_address(model)).content.decode()
        assert secret not in boss.get(detail_address(Invoice, books.pk)).content.decode()


def test_no_page_says_who_a_patient_is(books, boss):
    sealed = PatientIdentity.objects.get()
    secrets = [str(value) for value in PERSON.values()] + [NOTE, sealed.sealed, sealed.data_key]
    addresses = ["/admin/", *map(list_address, PAGES), *map(detail_address, PAGES)]
    sources = {address: boss.get(address).content.decode() for address in addresses}
    assert [(address, secret) for secret in secrets for address, source in sources.items() if secret in source] == []


def test_the_page_of_a_patient_shows_reference_and_activity(books, boss):
    patient = Patient.objects.get(periods__activated_at=utc("2026-01-02"))
    page = boss.get(detail_address(Patient, patient.pk)).content.decode()
    assert str(patient.pk) in page
    assert "2026-01-02 00:00" in page
    assert f"<title> {patient.pk} | View patient | Clinic billing</title>" in re.sub(r"\s+", " ", page)


def test_no_page_is_cached(books, boss):
    for model in (Invoice, Patient):
        for address in (list_address(model), detail_address(model)):
            assert "no-store" in boss.get(address).headers["Cache-Control"]


def test_staff_without_a_permission_is_refused_everywhere(books, clerk):
    for model in PAGES:
        assert clerk.get(list_address(model)).status_code == 403
        assert clerk.get(detail_address(model)).status_code == 403
    assert clerk.get("/admin/").context["attention"] == []


def test_staff_sees_only_what_the_permission_to_view_opens(books, clerk):
    permit("clerk", "view_invoice", "change_office", "view_payment")
    page = clerk.get(detail_address(Invoice, books.pk))
    assert [table.title for table in page.context["related_tables"]] == ["Payments", "Timeline, the latest first"]
    assert {row[1].split("<")[0] for row in page.context["related_tables"][1].rows} <= {
        "Opened", "Closed", "Sent", "Due", "Paid", "Payment",
    }  # fmt: skip
    assert clerk.get(list_address(Office)).status_code == 403  # the permission to change opens nothing
    assert clerk.get(list_address(LineItem)).status_code == 403
    assert [each.title for each in clerk.get("/admin/").context["attention"]] == ["Failed invoices"]


def test_nobody_adds_changes_or_deletes_anything(books, boss):
    for model in PAGES:
        _assert_stays_as_it_is(model, boss)


def _rows(model):
    """All rows, but for the stream that gains an entry with each look at the trail."""
    rows = model._default_manager.order_by("pk")
    return list((rows.exclude(stream=STREAM) if model in {AuditEntry, StreamHead} else rows).values())


def _assert_stays_as_it_is(model, boss):
    before = _rows(model)
    base, detail = list_address(model), detail_address(model)
    for address in (f"{base}add/", detail, detail.replace("/change/", "/delete/")):
        assert boss.post(address, {"post": "yes", "name": "changed"}).status_code == 403
    assert boss.get(f"{base}add/").status_code == 403
    boss.post(base, {"action": "delete_selected", "_selected_action": [row["pk"] for row in before if "pk" in row]})
    assert _rows(model) == before
    page = site._registry[model]
    assert list(page.get_actions(boss.get(base).wsgi_request)) == list(page.actions or ())  # no "delete selected"


def test_a_password_can_be_asked_nothing(boss):
    assert boss.get(list_address(User, "?password__startswith=md5")).status_code in {302, 400}


def test_the_address_of_an_api_key_does_not_carry_its_digest(books, boss):
    model = next(each for each in MODELS if each.__name__ == "OfficeApiKey")
    key = model.objects.get()
    assert key.hashed_key not in boss.get(list_address(model)).content.decode()
    assert key.hashed_key not in boss.get(detail_address(model)).content.decode()


def test_a_row_that_is_not_there_is_said_to_be_gone(books, boss):
    for model in (Invoice, Incident, OutboundRequest, AuditEntry):
        address = detail_address(model).replace(str(model.objects.first().pk), "no-such-row")
        gone = boss.get(address, follow=True)
        assert (gone.redirect_chain, "There is no such row" in gone.content.decode()) == ([("/admin/", 302)], True)
        assert "no-such-row" not in gone.content.decode() + str(boss.cookies)


@pytest.mark.parametrize(
    "address",
    [
        "billing/stripeevent/a%00b/change/",
        "billing/invoice/?cycle=%00",
        "billing/officeapikey/a%00/revoke/",
        "r/1/%00/",
    ],
)
def test_an_address_with_nul_is_a_400(boss, address):
    boss.raise_request_exception = False
    assert boss.get(f"/admin/{address}").status_code == 400


@pytest.mark.parametrize("asked", ["created_at__year=99999999999", "created_at__year=-5", "status__regex=("])
def test_a_list_that_the_database_cannot_filter_so_is_shown_without(books, boss, asked):
    boss.raise_request_exception = False
    with transaction.atomic():
        answer = boss.get(f"{list_address(Invoice)}?{asked}")
        transaction.set_rollback(True)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{list_address(Invoice)}?e=1")
    assert boss.get(answer.headers["Location"]).status_code == 200
