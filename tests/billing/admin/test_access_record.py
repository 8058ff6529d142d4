"""Who looked at patient accounts is on record: one entry a request, with the page and the reference."""

import json

import pytest
from django.contrib.admin import site
from django.urls import reverse

from audit.chain import verify
from audit.models import AuditEntry
from billing.admin.access import pages_of_patients
from billing.admin.roles import ADDRESSES
from billing.models import Correction, Discrepancy, Invoice, LineItem, Payment
from billing.staff_accounts import STREAM
from patients.models import ActivityPeriod, Patient
from tests.billing.admin.conftest import PAGES, PERSON, detail_address, list_address, permit


def reads():
    entries = AuditEntry.objects.filter(stream=STREAM, action="page.read").order_by("seq")
    return [(entry.actor, entry.payload) for entry in entries]


def test_a_list_and_a_row_of_patients_are_recorded_with_the_reference(books, boss):
    patient = Patient.objects.first()
    boss.get(list_address(Patient))
    boss.get(detail_address(Patient, patient.pk))
    boss.get(list_address(LineItem, f"?q={patient.pk.hex}"))
    assert reads() == [
        ("staff:boss", '{"page":"patients_patient_changelist"}'),
        ("staff:boss", f'{{"page":"patients_patient_change","row":"{patient.pk}"}}'),
        ("staff:boss", f'{{"page":"billing_lineitem_changelist","row":"{patient.pk}"}}'),
    ]
    assert verify([STREAM])[1] == []


def test_an_invoice_names_accounts_and_so_do_its_explanation_and_its_corrections(books, boss):
    explain = reverse("admin:billing_invoice_explain", args=[books.pk])
    account = str(books.line_items.first().patient_reference)
    boss.get(detail_address(Invoice, books.pk))
    boss.post(explain, {"reference": account})
    boss.get(reverse("admin:billing_invoice_ask", args=[books.pk, "replace"]))
    told = [json.loads(payload) for _actor, payload in reads()]
    assert told == [
        {"page": "billing_invoice_change", "row": str(books.pk)},
        {"account": account, "page": "billing_invoice_explain", "row": str(books.pk)},
        {"page": "billing_invoice_ask", "row": str(books.pk)},
    ]


def test_no_page_shows_a_reference_without_leaving_a_record(books, boss):
    """Whoever adds a page that names accounts adds it to the record."""
    references = [str(pk) for pk in Patient.objects.values_list("pk", flat=True)]
    silent = []
    others = [page for page in PAGES if f"{page._meta.app_label}_{page._meta.model_name}" not in pages_of_patients()]
    for address in [*map(detail_address, others), "/admin/", *more_addresses(books)]:
        before = len(reads())
        shown = boss.get(address, follow=True).content.decode()
        if any(reference in shown for reference in references) and len(reads()) == before:
            silent.append(address)
    assert silent == []


def more_addresses(invoice):
    """Return the addresses beyond list and row that open with a GET."""
    for name in ADDRESSES:
        model = "_".join(name.split("_")[:2])
        rows = {"billing_invoice": invoice.pk, "offices_office": invoice.office_id,
                "patients_patient": Patient.objects.first().pk, "billing_correction": Correction.objects.get().pk,
                "billing_discrepancy": Discrepancy.objects.get().pk}  # fmt: skip
        lists = name.endswith(("_export", "_stripe", "_balance"))
        if name.endswith("ticked"):
            yield f"{reverse(f'admin:{name}')}?of={invoice.pk.hex}"
        elif model in rows and not lists and name != "billing_invoice_ask":
            yield reverse(f"admin:{name}", args=[rows[model]])


def test_what_else_was_typed_into_a_search_is_not_kept(books, boss):
    boss.get(list_address(Patient, f"?q={PERSON['last_name']}"))
    assert reads() == [("staff:boss", '{"page":"patients_patient_changelist"}')]


def test_a_page_that_was_refused_or_shows_no_account_is_no_read(books, boss, clerk, client):
    permit("clerk", "view_payment")
    clerk.get(list_address(Patient))
    clerk.get(list_address(Payment))
    client.get(list_address(Patient))
    boss.get(detail_address(Patient, "00000000-0000-4000-8000-000000000000"))
    assert reads() == []


def test_every_page_with_a_field_about_a_person_is_among_them():
    pages = {f"{model._meta.app_label}_{model._meta.model_name}" for model in site._registry}
    patients = {page for page in pages if page.startswith("patients_")}
    assert patients | {"billing_lineitem", "audit_auditentry"} <= pages_of_patients()
    assert "billing_payment" not in pages_of_patients()


@pytest.mark.parametrize("model", [Patient, ActivityPeriod, LineItem])
def test_what_cannot_be_recorded_is_not_shown(books, boss, model, monkeypatch):
    def fail(*_args, **_values):
        raise RuntimeError("no room")

    monkeypatch.setattr("billing.admin.access.record", fail)
    boss.raise_request_exception = False
    answer = boss.get(list_address(model))
    assert answer.status_code == 500
    assert str(Patient.objects.first().pk) not in answer.content.decode()
