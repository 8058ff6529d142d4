"""What staff does in the console, each by permission: close an incident, release an office, take evidence, export."""

import json
import re

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from billing.exports import export_rows
from billing.minimization.evidence_files import EvidenceFile, evidence_text
from billing.minimization.evidence_report import evidence_report
from billing.models import (
    Correction,
    CreditNote,
    Discrepancy,
    Dispute,
    Incident,
    Invoice,
    LineItem,
    OutboxMessage,
    ParkedOffice,
    Payment,
    Refund,
)
from offices.models import Office
from patients.models import Patient
from tests.billing.admin.conftest import NOTE, PERSON, detail_address, list_address, permit
from tests.billing.scenes import CLOSED_AT
from tests.builders import utc

EXPORTED = [Invoice, LineItem, Payment, Refund, Dispute, CreditNote, Correction, Discrepancy, OutboxMessage, Office]
APRIL = utc("2026-04-15T12:00")
DISPOSE, UNPARK = "dispose_incident", "unpark_office"


@pytest.fixture(autouse=True)
def in_april():
    with time_machine.travel(APRIL, tick=True):
        yield


def text(answer):
    return answer.content.decode()


def action_address(model, name, row):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=[row.pk])


def dispose_address():
    return action_address(Incident, "dispose", Incident.objects.get())


def unpark_address():
    return action_address(ParkedOffice, "unpark", ParkedOffice.objects.get())


# --- Incidents ---
def test_a_finding_is_recorded_and_the_incident_is_closed(books, clerk):
    permit("clerk", "view_incident", DISPOSE)
    page = clerk.get(detail_address(Incident))
    assert dispose_address().rstrip("/") in text(page)
    asked = clerk.get(dispose_address())
    assert "unknown_parameter" in text(asked)
    answer = clerk.post(dispose_address(), {"finding": "drill", "note": "the yearly exercise"}, follow=True)
    assert "Recorded." in text(answer)
    incident = Incident.objects.get()
    assert (incident.disposition, incident.disposed_by) == ("drill: the yearly exercise", "staff:clerk")
    entry = AuditEntry.objects.get(action="incident.disposed")
    assert entry.actor == "staff:clerk"
    assert "exercise" not in entry.payload
    assert dispose_address().rstrip("/") not in text(clerk.get(detail_address(Incident)))  # nothing left to close


def test_an_incident_is_closed_once(books, clerk):
    permit("clerk", "view_incident", DISPOSE)
    clerk.post(dispose_address(), {"finding": "drill"})
    again = clerk.post(dispose_address(), {"finding": "attack"})
    assert again.status_code == 409
    assert "no open incident" in text(again)
    assert Incident.objects.get().disposition == "drill"


@pytest.mark.parametrize("form", [{}, {"finding": "whatever"}, {"finding": "drill", "note": "x" * 200}])
def test_an_unfit_finding_is_told_at_the_form(form, books, clerk):
    permit("clerk", "view_incident", DISPOSE)
    answer = clerk.post(dispose_address(), form)
    assert (answer.status_code, bool(answer.context["form"].errors)) == (200, True)
    assert Incident.objects.get().disposed_at is None


# --- Parked offices ---
def test_an_office_is_released_with_a_reason(books, clerk):
    Office.objects.filter(pk=books.office_id).update(parked_at=CLOSED_AT)
    permit("clerk", "view_parkedoffice", "view_office", UNPARK)
    led = clerk.get(reverse("admin:offices_office_unpark", args=[books.office_id]))
    assert led.headers["Location"] == unpark_address()
    assert books.office.reference in text(clerk.get(unpark_address()))
    answer = clerk.post(unpark_address(), {"reason": "counted again: equal"}, follow=True)
    assert "The office goes on." in text(answer)
    parking = ParkedOffice.objects.get()
    assert (parking.unparked_by, parking.unpark_reason) == ("staff:clerk", "counted again: equal")
    assert Office.objects.get(pk=books.office_id).parked_at is None
    assert AuditEntry.objects.filter(action="office.unparked", actor="staff:clerk").exists()
    assert clerk.post(unpark_address(), {"reason": "again"}).status_code == 409


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201])
def test_without_a_fit_reason_the_office_stays_parked(reason, books, clerk):
    permit("clerk", "view_parkedoffice", UNPARK)
    assert clerk.post(unpark_address(), {"reason": reason}).context["form"].errors
    assert ParkedOffice.objects.get().unparked_at is None


# --- Evidence ---
def evidence(client, **asked):
    return client.get(reverse("admin:billing_evidence"), asked)


def take(client, **asked):
    return client.post(reverse("admin:billing_evidence"), asked)


def test_the_evidence_of_a_month_is_shown_as_the_command_derives_it(books, clerk):
    permit("clerk", "take_evidence")
    page = text(evidence(clerk, month="2026-04"))
    report = evidence_report("2026-04", now=timezone.now())
    assert f"{report.inspected:,}" in page
    for told in (report.chain.digest, *report.descriptions_sent, "it has not ended"):
        assert told in page
    assert str(Incident.objects.get().pk) in text(evidence(clerk, month="2026-03"))


@pytest.mark.parametrize("kind", EvidenceFile)
def test_a_file_is_the_commands_own_text_and_who_took_it_is_recorded(kind, books, clerk):
    permit("clerk", "take_evidence")
    month = "2026-03"
    answer = take(clerk, month=month, kind=kind.value)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="evidence-{month}.{kind}"'
    assert text(answer) == evidence_text(evidence_report(month, now=timezone.now()), kind)
    entry = AuditEntry.objects.get(stream="handed_out")
    assert (entry.action, entry.actor) == ("evidence.taken", "staff:clerk")
    assert json.loads(entry.payload) == {"month": month, "format": kind.value}


@pytest.mark.parametrize("month", ["2026-13", "soon", "1999-01", "", "2199-01"])
def test_what_is_no_month_of_the_past_is_told_at_the_form(month, books, clerk):
    permit("clerk", "take_evidence")
    for answer in (evidence(clerk, month=month), take(clerk, month=month, kind="md")):
        assert answer.status_code == 400
        assert "valid choice" in text(answer) or "required" in text(answer)
    assert take(clerk, month="2026-03", kind="exe").status_code == 400


def test_a_page_of_evidence_is_looked_at_without_an_entry(books, clerk):
    permit("clerk", "take_evidence")
    evidence(clerk, month="2026-04")
    assert not AuditEntry.objects.filter(stream="handed_out").exists()
    assert clerk.put(reverse("admin:billing_evidence")).status_code == 405


# --- Exports ---
def export_address(model, query=""):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_export") + query


def permit_export(*models):
    permit("clerk", *(f"{verb}_{model._meta.model_name}" for model in models for verb in ("view", "export")))


def body(answer):
    return b"".join(answer.streaming_content).decode("utf-8-sig")


@pytest.mark.parametrize("model", EXPORTED)
def test_a_list_leads_to_its_export_and_the_file_holds_its_rows(model, books, clerk):
    permit_export(model)
    assert export_address(model) in text(clerk.get(list_address(model)))
    assert 'name="format"' in text(clerk.get(export_address(model)))
    answer = clerk.post(export_address(model), {"format": "0"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert re.fullmatch(r'attachment; filename="[a-z-]+-[0-9-]{10}\.csv"', answer.headers["Content-Disposition"])
    assert body(answer).count("\r\n") == model.objects.count() + 1
    sheet = clerk.post(export_address(model), {"format": "1"})
    assert b"".join(sheet.streaming_content).startswith(b"PK")
    assert "no-store" in sheet.headers["Cache-Control"]


def test_the_export_holds_what_the_filters_leave(more_books, clerk):
    permit_export(Invoice, LineItem)
    of_one = body(clerk.post(export_address(LineItem, f"?invoice__id__exact={more_books.pk}"), {"format": "0"}))
    assert of_one.count("\r\n") == more_books.line_items.count() + 1
    paid = body(clerk.post(export_address(Invoice, "?status__exact=paid&cycle=2026-02"), {"format": "0"}))
    assert paid.count("\r\n") == Invoice.objects.filter(status="paid", cycle__key="2026-02").count() + 1
    found = body(clerk.post(export_address(Invoice, f"?q={more_books.office.reference}"), {"format": "0"}))
    assert found.count("\r\n") == Invoice.objects.filter(office=more_books.office).count() + 1
    entries = AuditEntry.objects.filter(stream="handed_out").order_by("seq")
    filters = [json.loads(entry.payload)["filters"] for entry in entries]
    assert filters == ["invoice", "cycle,status", "search"]


def test_no_word_that_was_typed_into_the_address_is_recorded(books, clerk):
    permit_export(Invoice)
    clerk.post(export_address(Invoice, "?q=Zoltana+Quibbleworth"), {"format": "0"})
    assert "Zoltana" not in str(list(AuditEntry.objects.values_list("payload", "actor")))


@pytest.mark.parametrize("query", ["?status__exact=a&nonsense=1", "?created_at__gte=yesterday", "?Zoltana=1"])
def test_filters_that_mean_nothing_lead_back_to_the_list(query, books, clerk):
    permit_export(Invoice)
    answer = clerk.post(export_address(Invoice, query), {"format": "0"})
    assert answer.status_code in {302, 400}
    assert not AuditEntry.objects.filter(stream="handed_out").exists()


def test_an_export_that_is_too_long_is_refused_with_the_reason(books, clerk, monkeypatch):
    permit_export(LineItem)
    monkeypatch.setattr(export_rows, "LONGEST", dict.fromkeys(export_rows.LONGEST, 1))
    answer = clerk.post(export_address(LineItem), {"format": "0"})
    assert "more than 1 rows" in text(answer)
    assert clerk.post(export_address(LineItem), {"format": "7"}).context["form"].errors


def test_nobody_is_in_any_export(books, boss):
    for model in EXPORTED:
        told = body(boss.post(export_address(model), {"format": "0"}))
        secrets = [str(value) for value in PERSON.values()] + [NOTE]
        secrets += [str(pk) for pk in Patient.objects.values_list("pk", flat=True)]
        assert [secret for secret in secrets if secret in told] == []


def test_nothing_can_be_imported(books, boss):
    for model in EXPORTED:
        assert boss.get(list_address(model, "import/")).status_code in {302, 404}


# --- Who may ---
def every_action():
    yield dispose_address(), "billing.dispose_incident", "view_incident"
    yield unpark_address(), "billing.unpark_office", "view_parkedoffice"
    yield reverse("admin:billing_evidence"), "billing.take_evidence", "view_outboundrequest"
    for model in EXPORTED:
        name = f"{model._meta.app_label}.export_{model._meta.model_name}"
        yield export_address(model), name, f"view_{model._meta.model_name}"


def test_the_permission_to_view_opens_no_action_and_the_page_says_which_one_does(books, clerk):
    before = AuditEntry.objects.count()
    for address, permission, viewing in every_action():
        permit("clerk", viewing)
        for refused in (clerk.get(address), clerk.post(address, {"format": "0", "reason": "x", "finding": "drill"})):
            assert refused.status_code == 403, address
            assert permission in text(refused), address
    assert AuditEntry.objects.count() == before


def test_the_permission_to_export_opens_nothing_without_the_one_to_view(books, clerk):
    for model in EXPORTED:
        permit("clerk", f"export_{model._meta.model_name}")
        refused = clerk.post(export_address(model), {"format": "0"})
        assert refused.status_code == 403
        assert f"{model._meta.app_label}.view_{model._meta.model_name}" in text(refused)


def test_a_button_is_shown_to_who_may_use_it(books, clerk):
    Office.objects.filter(pk=books.office_id).update(parked_at=CLOSED_AT)
    permit(
        "clerk", "view_incident", "view_parkedoffice", "view_office", *(f"view_{m._meta.model_name}" for m in EXPORTED)
    )
    pages = [detail_address(Incident), detail_address(ParkedOffice), detail_address(Office, books.office_id)]
    for address in [*pages, *map(list_address, EXPORTED)]:
        assert not re.search(r'href="[^"]*/(dispose|unpark|export)', text(clerk.get(address))), address


def test_a_row_that_is_not_there_is_said_to_be_gone(books, boss):
    for address in (dispose_address(), unpark_address(), reverse("admin:offices_office_unpark", args=[books.office_id]),
                    reverse("admin:patients_patient_reveal", args=[Patient.objects.first().pk])):  # fmt: skip
        gone = re.sub(r"/[^/]+/(dispose|unpark|reveal)", r"/no-such-row/\1", address)
        assert boss.get(gone).status_code == 404


def test_what_is_done_leaves_nothing_in_djangos_own_log(books, boss):
    boss.post(dispose_address(), {"finding": "drill", "note": "Zoltana"})
    boss.post(unpark_address(), {"reason": "Zoltana"})
    boss.post(export_address(Invoice), {"format": "0"})
    assert not LogEntry.objects.exists()
