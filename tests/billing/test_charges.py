"""Setup fee and one-offs: an invoice of their own, closed and queued at once (product.md rule 7)."""

import json

import pytest

from audit.models import AuditEntry
from billing.charges import (
    AmountMissing,
    Charge,
    OfficeClosed,
    OfficeTrialing,
    SetupFeeAlreadyCharged,
    charge_office,
)
from billing.models import ChargeReason, Invoice, InvoiceStatus, InvoiceType, LineItem, OutboxMessage
from billing.staff_notes import NoteLooksLikePatientData
from offices.models import OfficeStatus
from tests.builders import ACTOR, make_office, utc

pytestmark = pytest.mark.django_db

NOW = utc("2026-01-20")
SETUP_FEE = Charge(ChargeReason.SETUP_FEE)


def charge(office, what):
    return charge_office(office_id=office.pk, charge=what, actor=ACTOR, now=NOW)


def test_the_setup_fee_is_the_plans_amount_on_an_invoice_of_its_own():
    invoice = charge(make_office(), SETUP_FEE)

    assert (invoice.invoice_type, invoice.total_cents, invoice.cycle) == (InvoiceType.SETUP_FEE, 25_000, None)
    assert invoice.closed_at == NOW
    assert OutboxMessage.objects.filter(invoice=invoice).count() == 1


def test_an_office_has_at_most_one_live_setup_fee():
    office = make_office()
    first = charge(office, SETUP_FEE)

    with pytest.raises(SetupFeeAlreadyCharged):
        charge(office, SETUP_FEE)

    Invoice.objects.filter(pk=first.pk).update(status=InvoiceStatus.CANCELED)
    assert charge(office, SETUP_FEE).pk != first.pk


def test_a_one_off_takes_its_reason_from_the_catalogue_and_keeps_the_note_inside():
    invoice = charge(make_office(), Charge(ChargeReason.TRAINING, 12_500, "two afternoons"))

    invoice.refresh_from_db()
    assert (invoice.invoice_type, invoice.charge_reason, invoice.internal_note) == (
        InvoiceType.ONE_OFF,
        "training",
        "two afternoons",
    )
    assert LineItem.objects.get().item_type == "one_off"
    assert "afternoons" not in OutboxMessage.objects.get(invoice=invoice).payload


def test_a_charge_of_nothing_is_settled_here():
    invoice = charge(make_office(), Charge(ChargeReason.SUPPORT, 0))

    assert (invoice.status, invoice.settlement_reason) == (InvoiceStatus.PAID, "nothing_due")
    assert not OutboxMessage.objects.exists()


def test_a_one_off_needs_an_amount():
    with pytest.raises(AmountMissing):
        charge(make_office(), Charge(ChargeReason.HARDWARE))
    assert not Invoice.objects.exists()


def test_nothing_is_charged_in_a_trial():
    office = make_office(status=OfficeStatus.TRIALING)

    for what in (SETUP_FEE, Charge(ChargeReason.TRAINING, 100)):
        with pytest.raises(OfficeTrialing):
            charge(office, what)


def test_a_canceled_office_can_get_a_final_one_off_but_no_setup_fee():
    office = make_office(status=OfficeStatus.CANCELED)

    assert charge(office, Charge(ChargeReason.SUPPORT, 900)).total_cents == 900
    with pytest.raises(OfficeClosed):
        charge(office, SETUP_FEE)


# --- The note ---
LEAK = "refund for patient John Smith, dob 3/4/1961"


def test_a_note_that_looks_like_patient_data_is_refused_with_codes_only():
    office = make_office()
    with pytest.raises(NoteLooksLikePatientData) as refused:
        charge(office, Charge(ChargeReason.SUPPORT, 900, LEAK, override_reason="  "))
    assert {"date_of_birth", "name_beside_patient"} <= set(refused.value.codes)
    assert not {"smith", "1961"} & set(str(refused.value).lower().split())
    assert not Invoice.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_reason_lets_the_note_stand_and_the_trail_says_so_without_any_word_of_it():
    invoice = charge(make_office(), Charge(ChargeReason.SUPPORT, 900, LEAK, override_reason="John Smith is the owner"))

    invoice.refresh_from_db()
    assert invoice.internal_note == f"{LEAK}\n\n[override: John Smith is the owner]"
    entry = AuditEntry.objects.get(action="note.advice_overridden")
    payload = json.loads(entry.payload)
    assert payload["invoice"] == str(invoice.pk)
    assert "date_of_birth" in payload["codes"].split(",")
    assert not [row for row in AuditEntry.objects.all() if "smith" in row.payload.lower() or "owner" in row.payload]
    assert "Smith" not in OutboxMessage.objects.get(invoice=invoice).payload


def test_a_note_that_nothing_speaks_against_needs_no_reason_and_keeps_none():
    invoice = charge(make_office(), Charge(ChargeReason.SUPPORT, 900, "two afternoons", override_reason="not needed"))

    invoice.refresh_from_db()
    assert invoice.internal_note == "two afternoons"
    assert not AuditEntry.objects.filter(action="note.advice_overridden").exists()
