"""Every stored field has exactly one class, the data map says so, and the API shows no more of a person than it may."""

import importlib
import pkgutil

import pytest
from django.db import models
from rest_framework import serializers

from billing import api
from billing.api import invoice_contract, patient_contract, payment_history, summary
from billing.api.invoices import InvoiceViewSet
from billing.api.patients import PatientViewSet
from billing.api.strict import StrictSerializer
from billing.minimization import classification
from billing.minimization.classification import CLASSIFICATION, DataClass, class_of, stored_fields
from billing.minimization.data_map import DATA_MAP, render_data_map
from billing.models import (
    BillingCycle,
    Correction,
    CreditNote,
    Dispute,
    HostedInvoicePage,
    Invoice,
    LineItem,
    OfficeProfile,
    Payment,
    Refund,
    Scope,
)
from offices.encryption import EncryptedTextField
from offices.models import Office
from patients.identity import Identity, PatientIdentity
from patients.models import ActivityPeriod, Patient


# --- The inventory ---
def test_every_stored_field_has_a_class_and_no_class_is_of_a_field_that_is_gone():
    stored = {model: set(fields) for model, fields in stored_fields().items()}
    assert {model: set(fields) for model, fields in CLASSIFICATION.items()} == stored


def test_a_field_with_two_classes_is_refused(monkeypatch):
    doubled = {"offices.Plan": {DataClass.INTERNAL_ONLY: "id code", DataClass.EPHI: "code"}}
    monkeypatch.setattr(classification, "_FIELDS", doubled)
    with pytest.raises(ValueError, match=r"offices\.Plan"):
        classification._inventory()


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (Patient, "reference"), (ActivityPeriod, "patient"), (ActivityPeriod, "activated_at"),
        (ActivityPeriod, "deactivated_at"), (LineItem, "patient_reference"), (LineItem, "created_at"),
        (PatientIdentity, "sealed"), (Invoice, "internal_note"),
    ],
)  # fmt: skip
def test_a_reference_and_its_times_are_about_a_person(model, field):
    assert class_of(model, field) is DataClass.EPHI


def test_every_key_to_a_patient_is_about_a_person():
    keys = [
        (model, name)
        for model, fields in stored_fields().items()
        for name, field in fields.items()
        if name in {"patient", "patient_id", "patient_reference"} or getattr(field, "related_model", None) is Patient
    ]
    assert len(keys) >= 5
    assert {CLASSIFICATION[model][name] for model, name in keys} == {DataClass.EPHI}


def test_nothing_encrypted_leaves_except_the_ids_that_stripe_gave_us_and_what_has_left():
    leaving = {
        (model, name)
        for model, fields in stored_fields().items()
        for name, field in fields.items()
        if isinstance(field, EncryptedTextField) and CLASSIFICATION[model][name] is DataClass.SAFE_FOR_EXTERNAL
    }
    assert leaving == {
        ("offices.OfficeStripeAccount", "customer_id"),
        ("offices.OfficeStripeAccount", "subscription_id"),
        ("billing.OutboxStep", "customer_id"),
        ("billing.StripeEvent", "customer_id"),
        *(("billing.OutboundRequest", text) for text in ("path", "query", "body")),
    }


def test_of_an_offices_own_words_only_the_approved_ones_may_leave():
    assert class_of(Office, "name") is class_of(Office, "billing_email") is DataClass.INTERNAL_ONLY
    assert class_of(OfficeProfile, "name") is class_of(OfficeProfile, "email") is DataClass.SAFE_FOR_EXTERNAL


def test_no_column_of_a_patient_may_leave():
    of_patients = {
        each for model, fields in CLASSIFICATION.items() if model.startswith("patients.") for each in fields.values()
    }
    assert of_patients == {DataClass.EPHI, DataClass.INTERNAL_ONLY}


# --- The page ---
def test_the_data_map_is_the_inventory():
    assert DATA_MAP.read_text(encoding="utf-8") == render_data_map(), (
        "call billing.minimization.data_map.write_data_map"
    )


# --- The API ---
# The rows that an answer is made of. An answer that is not named here fails a test below.
ANSWERS = {
    invoice_contract.PriceSerializer: (BillingCycle,),
    invoice_contract.ItemTotalSerializer: (LineItem,),
    payment_history.PaymentSerializer: (Payment,),
    payment_history.RefundSerializer: (Refund,),
    payment_history.CreditNoteSerializer: (CreditNote,),
    payment_history.DisputeSerializer: (Dispute,),
    payment_history.CorrectionSerializer: (Correction,),
    payment_history.HistorySerializer: (Payment, Refund, CreditNote, Dispute, Correction),
    invoice_contract.LineItemSerializer: (LineItem, Invoice),
    invoice_contract.InvoiceSerializer: (Invoice, BillingCycle),
    invoice_contract.InvoiceDetailSerializer: (Invoice, BillingCycle),
    invoice_contract.PaymentStatusSerializer: (Invoice, Payment),
    patient_contract.RegisteredPatientSerializer: (Patient,),
    patient_contract.PatientSerializer: (Patient, ActivityPeriod),
    patient_contract.ChargedLineSerializer: (LineItem, BillingCycle),
    patient_contract.ActivatedSerializer: (Patient, ActivityPeriod),
    patient_contract.DeactivatedSerializer: (Patient, ActivityPeriod),
    summary.OpenCycleSerializer: (BillingCycle,),
    summary.SummarySerializer: (Office, BillingCycle, Invoice),
}
# What of a person an answer may show, to a key of that office with the scope of the route.
OF_A_PERSON = {
    invoice_contract.LineItemSerializer: {"patient_reference"},
    patient_contract.ChargedLineSerializer: {"patient_reference"},
    patient_contract.PatientSerializer: {"reference", "activated_at", "deactivated_at", "created_at"},
}


def answers():
    """Return every serializer of the API that answers; those that only read are strict, errors show no row."""
    modules = [importlib.import_module(f"billing.api.{each.name}") for each in pkgutil.iter_modules(api.__path__)]
    found = {value for module in modules for value in vars(module).values() if _is_serializer(value)}
    return {
        each
        for each in found
        if each.__module__.startswith("billing.api.")
        and not issubclass(each, StrictSerializer)
        and each.__module__ != "billing.api.errors"
    }


def _is_serializer(value):
    return isinstance(value, type) and issubclass(value, serializers.BaseSerializer)


def test_every_answer_of_the_api_says_which_rows_it_is_made_of():
    assert answers() == set(ANSWERS)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
def test_an_answer_shows_nothing_of_a_person_but_what_its_scope_allows(answer):
    shown = {field.source for field in answer().fields.values()}
    of_a_person = {
        name
        for model in ANSWERS[answer]
        for name, data_class in CLASSIFICATION[model._meta.label].items()
        if data_class is DataClass.EPHI and name in shown
    }
    if answer in {invoice_contract.InvoiceSerializer, invoice_contract.InvoiceDetailSerializer}:
        assert "internal_note" not in shown
    assert of_a_person == OF_A_PERSON.get(answer, set())


def test_no_answer_shows_an_identity_or_the_hosted_page():
    names = {*Identity.__slots__, *CLASSIFICATION["patients.PatientIdentity"], *CLASSIFICATION["patients.PatientToken"]}
    names = names - {"patient", "patient_id", "office_id", "kind"} | {  # a token's kind says nothing of anybody
        "internal_note",
        "url",
        HostedInvoicePage._meta.model_name,
    }
    for answer in ANSWERS:
        fields = answer().fields
        assert not names & ({*fields} | {field.source for field in fields.values()}), answer.__name__


def test_references_need_a_scope_of_their_own():
    assert PatientViewSet.scopes["list"] == Scope.PATIENTS_READ
    assert InvoiceViewSet.scopes["retrieve"] == Scope.INVOICES_READ
    assert None not in {*PatientViewSet.scopes.values(), *InvoiceViewSet.scopes.values()}


def test_the_models_walked_are_those_of_the_four_apps():
    labels = {model.partition(".")[0] for model in stored_fields()}
    assert labels == set(classification.OUR_APPS)
    assert all(isinstance(field, models.Field) for fields in stored_fields().values() for field in fields.values())
