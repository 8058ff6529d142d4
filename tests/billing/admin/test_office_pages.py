"""Offices in the console: what comes of a change is seen before it is made, and each change is one call on record."""

import csv
import io
import json

import pytest
import time_machine
from django.contrib.auth.models import User
from django.urls import reverse
from openpyxl import load_workbook

from audit.models import AuditEntry
from billing.models import Invoice, OfficeProfile, OutboxMessage, ParkedOffice
from offices.models import OfficePlan, OfficeStatusChange, Plan, PlanPrice, PriceOverride
from tests.billing.admin.conftest import PERSON, detail_address, list_address, permit
from tests.billing.scenes import close_month
from tests.builders import ACTOR, make_patient, utc
from tests.staff import logged_in

pytestmark = pytest.mark.django_db
NOW = utc("2026-03-21T12:00")
VIEWING = ("view_office", "view_invoice", "view_payment", "view_priceoverride", "view_plan")


@pytest.fixture(autouse=True)
def today():
    with time_machine.travel(NOW, tick=True):
        yield


@pytest.fixture
def office():
    return close_month().office


def address(office, name):
    return reverse(f"admin:offices_office_{name}", args=[office.pk])


def text(answer):
    return answer.content.decode()


def seen_of(answer):
    """Return what the form remembers to have shown, and the pairs that it showed."""
    return answer.context["form"]["seen"].value(), dict(answer.context["consequences"])


PRICE = {"unit_price": "1.50", "starts_on": "2026-04-01", "ends_on": "2026-06-01", "reason": "contract"}


# --- Seen before it is done ---
def test_a_price_is_first_shown_then_given_for_just_what_was_seen(office, clerk):
    permit("clerk", *VIEWING, "add_priceoverride")
    asked = clerk.post(address(office, "price"), PRICE)
    seen, shown = seen_of(asked)
    assert (asked.status_code, PriceOverride.objects.count()) == (200, 0)
    assert shown["Price of an account"] == "2.00 USD becomes 1.50 USD"
    assert shown["A month with as many"] == "4.00 USD becomes 3.00 USD"
    assert "2026-04-15" in shown["Changes"]
    answer = clerk.post(address(office, "price"), PRICE | {"seen": seen}, follow=True)
    assert "has a price of its own" in text(answer)
    row = PriceOverride.objects.get()
    assert (row.unit_price_cents, row.reason) == (150, "contract")
    assert AuditEntry.objects.get(action="office.price_overridden").actor == "staff:clerk"
    assert "contract" in text(clerk.get(address(office, "change")))


def test_what_changed_since_it_was_seen_is_shown_again_and_not_done(office, clerk):
    permit("clerk", *VIEWING, "add_priceoverride")
    seen, _shown = seen_of(clerk.post(address(office, "price"), PRICE))
    make_patient(office, (utc("2026-03-20"), None))
    again = clerk.post(address(office, "price"), PRICE | {"seen": seen})
    assert seen_of(again)[1]["Accounts active now"] == "3"
    assert not PriceOverride.objects.exists()


def test_a_refused_change_is_told_at_the_form(office, clerk):
    permit("clerk", *VIEWING, "add_priceoverride")
    refused = clerk.post(address(office, "price"), PRICE | {"ends_on": "2026-04-01"})
    assert refused.status_code == 409
    assert "has to end after it begins" in text(refused)


def test_a_plan_and_a_status_change_in_the_same_way(office, clerk):
    permit("clerk", *VIEWING, "add_officeplan", "add_officestatuschange")
    group = Plan.objects.create(code="group", name="Group")
    PlanPrice.objects.create(plan=group, effective_on=utc("2026-01-01").date(), unit_price_cents=120)
    for name, form, rows in (("plan", {"plan": "group"}, OfficePlan), ("status", {"status": "canceled"},
                                                                       OfficeStatusChange)):  # fmt: skip
        seen, shown = seen_of(clerk.post(address(office, name), form))
        assert (rows.objects.filter(office=office).count(), shown["Accounts active now"]) == (1, "2")
        clerk.post(address(office, name), form | {"seen": seen})
        assert rows.objects.filter(office=office).count() == 2
    assert "not billed" in shown["Price of an account"]


def test_a_form_that_is_not_filled_in_shows_nothing_and_says_so(office, clerk):
    permit("clerk", *VIEWING, "add_officeplan")
    empty = clerk.post(address(office, "plan"), {"plan": ""})
    assert "This field is required" in text(empty)
    permit("clerk", *VIEWING, "add_officestatuschange")
    assert "Choose" in text(clerk.get(address(office, "status")))  # none is chosen beforehand


# --- Profile ---
def test_a_profile_is_approved_by_a_person_who_sees_the_advice(office, clerk):
    permit("clerk", "view_office", "view_officeprofile", "approve_profile")
    form = {"name": "Münster Clinic", "email": "billing@clinic.example", "reason": ""}
    seen, shown = seen_of(clerk.post(address(office, "profile"), form))
    assert shown["Stripe will read"] == "Munster Clinic, billing@clinic.example"
    assert shown["The detectors say"] == "nothing against it"
    clerk.post(address(office, "profile"), form | {"seen": seen})
    profile = OfficeProfile.objects.get(office=office)
    assert (profile.name, profile.approved_by, profile.advice) == ("Munster Clinic", "staff:clerk", "")


def test_only_who_approves_profiles_sees_what_the_detectors_said(office, clerk):
    values = {"name": "Munster Clinic", "email": "", "approved_by": ACTOR, "approved_at": NOW}
    profile = OfficeProfile.objects.create(office=office, advice="patient_full_name", override_reason="owner", **values)
    page, asked = detail_address(OfficeProfile, profile.pk), f"{list_address(OfficeProfile)}?advice__contains=patient"
    permit("clerk", "view_officeprofile")
    assert b"patient_full_name" not in clerk.get(page).content
    assert clerk.get(asked).status_code == 400
    permit("clerk", "view_officeprofile", "approve_profile")
    assert b"patient_full_name" in clerk.get(page).content


def test_against_the_advice_a_profile_needs_a_reason(office, clerk):
    permit("clerk", "view_office", "approve_profile")
    form = {"name": "Clinic", "email": "jane.roe@gmail.com", "reason": ""}
    seen, shown = seen_of(clerk.post(address(office, "profile"), form))
    assert (shown["The detectors say"], shown["So"]) == ("personal mailbox", "a reason is needed")
    refused = clerk.post(address(office, "profile"), form | {"seen": seen})
    assert refused.status_code == 409
    assert not OfficeProfile.objects.exists()
    why = form | {"reason": "the owner's only mailbox"}
    seen, shown = seen_of(clerk.post(address(office, "profile"), why))
    clerk.post(address(office, "profile"), why | {"seen": seen})
    profile = OfficeProfile.objects.get()
    assert (profile.advice, profile.override_reason) == ("personal_mailbox", "the owner's only mailbox")
    assert "mailbox" not in AuditEntry.objects.get(action="profile.approved").payload


def test_a_rejected_profile_stands_in_the_history_with_who_when_and_why(office, clerk):
    permit("clerk", "view_office", "view_officeprofile", "view_profilerejection", "approve_profile")
    assert office.name in text(clerk.get(address(office, "reject")))
    assert clerk.post(address(office, "reject"), {"reason": "  "}).context["form"].errors
    assert clerk.post(address(office, "reject"), {"reason": "x" * 201}).context["form"].errors
    page = clerk.post(address(office, "reject"), {"reason": "it is a person's name"}, follow=True)
    assert "Rejected. It stands in the history" in text(page)
    (table,) = [each for each in page.context["related_tables"] if each.title == "Rejected profiles"]
    (row,) = table.rows
    assert row[1:] == ["staff:clerk", "it is a person&#x27;s name"] or row[1:] == [
        "staff:clerk",
        "it is a person's name",
    ]
    assert "2026-03-21" in row[0]
    entry = AuditEntry.objects.get(action="profile.rejected")
    assert (entry.actor, entry.stream) == ("staff:clerk", f"office:{office.reference}")
    assert "person" not in entry.payload
    listed = reverse("admin:offices_office_changelist")
    found = {name: clerk.get(listed, {"profile": name}).context["cl"].queryset for name in
             ("rejected", "undecided", "opaque", "approved")}  # fmt: skip
    assert {name for name, rows in found.items() if office in rows} == {"rejected", "opaque"}


def test_a_rejection_takes_no_approval_back(office, clerk):
    permit("clerk", "view_office", "approve_profile")
    form = {"name": "Clinic", "email": "billing@clinic.example", "reason": ""}
    seen, _shown = seen_of(clerk.post(address(office, "profile"), form))
    clerk.post(address(office, "profile"), form | {"seen": seen})
    clerk.post(address(office, "reject"), {"reason": "the new name is a person's"})
    assert OfficeProfile.objects.get(office=office).replaced_at is None
    listed = clerk.get(reverse("admin:offices_office_changelist"), {"profile": "rejected"})
    assert office not in listed.context["cl"].queryset


def test_offices_without_an_approved_profile_are_found(office, clerk):
    permit("clerk", "view_office")
    listed = reverse("admin:offices_office_changelist")
    assert office in clerk.get(listed, {"profile": "opaque"}).context["cl"].queryset
    assert office not in clerk.get(listed, {"profile": "approved"}).context["cl"].queryset


# --- Stop, and go on ---
def test_an_office_is_stopped_for_a_reason_and_its_page_offers_to_let_it_go_on(office, clerk):
    permit("clerk", "view_office", "view_parkedoffice", "park_office", "unpark_office")
    assert "Messages that will wait" in text(clerk.get(address(office, "park")))
    assert clerk.post(address(office, "park"), {"reason": " "}).status_code == 200
    assert not ParkedOffice.objects.exists()
    page = clerk.post(address(office, "park"), {"reason": "asked to wait"}, follow=True)
    assert "stands still" in text(page)
    assert "asked to wait" in text(page)
    assert address(office, "unpark").rstrip("/") in text(page)
    assert address(office, "park").rstrip("/") not in text(page)


# --- Statement ---
def test_a_statement_says_what_the_books_say_and_leaves_as_a_file_on_record(office, clerk):
    permit("clerk", *VIEWING)
    page = text(clerk.get(address(office, "statement")))
    assert "2026-02" in page
    assert "4.00 USD" in page
    assert str(Invoice.objects.get(closed_at__isnull=False).pk) in page
    file = address(office, "statementfile")
    assert file not in page
    assert clerk.post(file).status_code == 403
    permit("clerk", *VIEWING, "export_office")
    assert clerk.get(file).status_code == 405
    assert text(clerk.get(address(office, "statement"))).count('name="format"') == 2
    taken = b"".join(clerk.post(file, {"format": "csv"}).streaming_content).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(taken))) == [
        ["month", "opening", "billed", "credited", "paid", "written off", "closing", "currency"],
        ["2026-02", "0.00", "4.00", "0.00", "0.00", "0.00", "4.00", "USD"],
    ]
    assert office.reference in AuditEntry.objects.get(action="statement.exported").payload


def test_a_statement_leaves_as_a_spreadsheet_with_the_same_cells_and_no_formula(office, clerk):
    permit("clerk", *VIEWING, "export_office")
    answer = clerk.post(address(office, "statementfile"), {"format": "xlsx"})
    assert answer.headers["Content-Type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert answer.headers["Content-Disposition"].endswith('-2026-03-21.xlsx"')
    rows = list(load_workbook(io.BytesIO(b"".join(answer.streaming_content))).active.iter_rows(values_only=True))
    assert rows == [
        ("month", "opening", "billed", "credited", "paid", "written off", "closing", "currency"),
        ("2026-02", 0, 4, 0, 0, 0, 4, "USD"),
    ]
    entry = json.loads(AuditEntry.objects.get(action="statement.exported").payload)
    assert entry == {"office": office.reference, "format": "xlsx", "rows": 1}


@pytest.mark.parametrize("given", [{}, {"format": "exe"}, {"format": ""}])
def test_a_statement_in_no_format_that_there_is_is_refused_and_says_which_there_are(given, office, clerk):
    permit("clerk", *VIEWING, "export_office")
    refused = clerk.post(address(office, "statementfile"), given)
    assert refused.status_code == 400
    assert text(refused) == "format: choose one of csv, xlsx"
    assert not AuditEntry.objects.filter(action="statement.exported").exists()


# --- The page ---
def test_the_page_shows_the_running_total_the_terms_and_no_account(office, boss):
    make_patient(office, (utc("2026-03-18"), None))
    tables = {table.title: table.rows for table in boss.get(address(office, "change")).context["related_tables"]}
    assert tables["Running total of what is open"][-1][1:] == ["In all, so far", "2", "4.00 USD"]
    assert {row[1] for row in tables["Status, plan and zone, from when on"]} == {"status", "plan", "zone"}
    assert "API keys" in tables
    assert not [row for row in tables["Audit trail"] if "patient" in row[1]]


# --- Invoices ---
def test_an_invoice_is_closed_from_its_page_after_a_look(office, clerk):
    permit("clerk", "view_invoice", "close_invoice")
    draft = Invoice.objects.get(office=office, closed_at__isnull=True)
    close = reverse("admin:billing_invoice_close", args=[draft.pk])
    page = reverse("admin:billing_invoice_change", args=[draft.pk])
    assert close.rstrip("/") not in text(clerk.get(page))  # its month is not over
    assert "its month ends at" in text(clerk.get(close))
    assert clerk.post(close, {"reason": "office_asks"}).status_code == 409
    with time_machine.travel(utc("2026-04-20T12:00"), tick=True):
        again = logged_in(User.objects.get(username="clerk"))
        assert close.rstrip("/") in text(again.get(page))
        assert "4.00 USD" in text(again.get(close))
        assert again.post(close).context["form"].errors  # it is done for a reason
        done = again.post(close, {"reason": "office_asks"}, follow=True)
    assert "Closed: 1 invoice, 4.00 USD billed." in text(done)


def test_a_message_is_hurried_and_the_invoice_opens_at_stripe(office, clerk):
    permit("clerk", "view_invoice", "send_invoice", "view_stripeevent")
    invoice = Invoice.objects.get(office=office, closed_at__isnull=False)
    OutboxMessage.objects.update(next_attempt_at=utc("2026-03-22"))
    send = reverse("admin:billing_invoice_send", args=[invoice.pk])
    assert "2026-03-22 00:00 UTC" in text(clerk.get(send))
    assert "It is tried now" in text(clerk.post(send, {"reason": "fault_mended"}, follow=True))
    assert OutboxMessage.objects.filter(invoice=invoice, next_attempt_at__lt=utc("2026-03-22")).exists()
    stripe = reverse("admin:billing_invoice_stripe", args=[invoice.pk])
    assert clerk.get(stripe).status_code == 404  # it is not there yet
    Invoice.objects.filter(pk=invoice.pk).update(stripe_invoice_id="in_1")
    assert clerk.get(stripe).headers["Location"] == "https://dashboard.stripe.com/test/invoices/in_1"


def test_what_was_sent_is_shown_as_it_left_without_the_customer(books, boss):
    page = text(boss.get(reverse("admin:billing_invoice_sent", args=[books.pk])))
    assert "metadata[invoice_id]" in page
    assert "cus_…" in page
    assert "cus_" not in page.replace("cus_…", "")
    assert "NO: the digest" not in page


def test_an_explanation_answers_why_an_account_is_not_billed(books, boss):
    explain = reverse("admin:billing_invoice_explain", args=[books.pk])
    page = boss.get(explain)
    assert "All of them agree" in text(page)
    assert [len(table.rows) for table in page.context["lines"]["tables"]] == [1]
    stranger = make_patient(books.office)
    answer = boss.post(explain, {"reference": str(stranger.pk)})
    assert answer.context["answer"]["words"] == "The account was never active."
    name = boss.post(explain, {"reference": PERSON["last_name"]})
    assert name.context["answer"] is None
    assert "Write the whole reference" in text(name)
