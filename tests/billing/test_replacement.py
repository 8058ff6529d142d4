"""A canceled month is waived, a replaced one is billed exactly once, and nothing charges either of them again."""

import pytest

from billing.activation import activate_patient, deactivate_patient
from billing.billed_usage import usage_differences
from billing.billing_run import run_due
from billing.charges import Charge, SetupFeeAlreadyCharged, charge_office
from billing.corrections import approve_correction
from billing.models import (
    BillingCycle,
    ChargeReason,
    Correction,
    CorrectionKind,
    CorrectionStatus,
    Discrepancy,
    Invoice,
    InvoiceStatus,
    InvoiceType,
    ItemType,
    LineItem,
)
from billing.rebuilt_books.check import check_books
from billing.reconciliation.run import reconcile
from billing.replacement import NotCanceled, make_replacement
from tests.billing.correction_scenes import BOB, States, agreed, ask, corrected, wish
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain, hear
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.invariants import assert_invariants

pytestmark = pytest.mark.django_db

K = CorrectionKind
NEXT_CLOSE, LATER_CLOSE = utc("2026-04-20"), utc("2026-05-20")


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def states(stripe, clock):
    return States(stripe, clock)


def replaced(invoice: Invoice, clock, dropped=()) -> Invoice:
    assert corrected(invoice, wish(K.REPLACE, dropped=frozenset(dropped)), clock).status == CorrectionStatus.DONE
    return Invoice.objects.get(replaces=invoice)


def charges(invoice: Invoice) -> list[tuple]:
    lines = invoice.line_items.filter(live=True).order_by("patient_reference")
    return list(lines.values_list("item_type", "cycle_key", "patient_reference", "quantity", "unit_price_cents"))


def live_lines(patient, key: str) -> int:
    return LineItem.objects.filter(patient_reference=patient, cycle_key=key, live=True).count()


def close(at) -> None:
    run_due(as_of=at, actor=ACTOR, now=at)


# --- The replacement ---
def test_a_replacement_charges_the_same_without_what_was_dropped(stripe, states, clock):
    invoice = states.sent()
    before = charges(invoice)
    gone = invoice.line_items.order_by("patient_reference").first()
    second = replaced(invoice, clock, [gone.pk])

    assert charges(second) == before[1:]
    assert (second.invoice_type, second.cycle_id, second.currency) == ("monthly", invoice.cycle_id, invoice.currency)
    assert (second.total_cents, second.status) == (200, InvoiceStatus.SENT)
    states_at_stripe = {held["metadata"]["invoice_id"]: held["status"] for held in stripe.objects("invoice")}
    assert states_at_stripe == {str(invoice.pk): "void", str(second.pk): "open"}
    hear(stripe, clock)
    assert_invariants(stripe)


def test_a_replacement_without_dropped_lines_is_the_same_document_again(stripe, states, clock):
    invoice = states.sent()
    before = charges(invoice)
    second = replaced(invoice, clock)
    assert (charges(second), second.total_cents) == (before, invoice.total_cents)


def test_a_replacement_keeps_the_terms_of_collection_of_the_first_invoice(states, clock):
    invoice = states.sent()
    office = invoice.office
    office.collection_method, office.days_until_due = "charge_automatically", 7
    office.save(update_fields=["collection_method", "days_until_due"])
    second = replaced(invoice, clock)
    assert (second.collection_method, second.days_until_due) == ("send_invoice", 30)


def test_a_setup_fee_and_a_one_off_are_replaced_too(stripe, clock):
    office = make_office()
    for charge in (Charge(ChargeReason.SETUP_FEE), Charge(ChargeReason.TRAINING, 9_900, note="two days")):
        invoice = charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=clock.at)
        drain(clock)
        second = replaced(invoice, clock)
        assert (second.invoice_type, second.charge_reason) == (invoice.invoice_type, invoice.charge_reason)
        assert (second.total_cents, second.internal_note) == (invoice.total_cents, "")
    assert Invoice.objects.filter(invoice_type=InvoiceType.SETUP_FEE).exclude(status="canceled").count() == 1
    assert_invariants(stripe)


def test_a_replacement_can_be_replaced_and_canceled_in_its_turn(stripe, states, clock):
    first = states.sent()
    second = replaced(first, clock)
    third = replaced(second, clock)
    corrected(third, K.CANCEL, clock)
    assert [held["status"] for held in stripe.objects("invoice")] == ["void"] * 3
    assert not LineItem.objects.filter(invoice__in=[first, second, third], live=True).exists()
    assert_invariants(stripe)


def test_an_unsent_invoice_is_replaced_at_once_and_only_the_replacement_is_sent(stripe, clock):
    invoice = close_month()
    correction = agreed(invoice, K.REPLACE, now=clock.at)
    second = Invoice.objects.get(replaces=invoice)
    assert (correction.status, second.closed_at) == (CorrectionStatus.DONE, clock.at)
    drain(clock)
    (held,) = stripe.objects("invoice")
    assert held["metadata"]["invoice_id"] == str(second.pk)
    assert_invariants(stripe)


def test_nothing_is_replaced_before_the_first_invoice_is_void(states, clock):
    invoice = states.sent()
    correction = ask(invoice, K.REPLACE, now=clock.at)
    with pytest.raises(NotCanceled):
        make_replacement(correction, actor=ACTOR, now=clock.at)
    approve_correction(correction_id=correction.pk, actor=BOB, now=clock.at)
    assert not Invoice.objects.filter(replaces=invoice).exists()
    assert invoice.line_items.filter(live=True).count() == 2


def test_a_replacement_that_is_made_already_is_returned(states, clock):
    invoice = states.sent()
    second = replaced(invoice, clock)
    again = make_replacement(Correction.objects.get(invoice=invoice), actor=ACTOR, now=clock.at)
    assert again.pk == second.pk


# --- A canceled month is waived (decisions.md 5) ---
def test_nothing_charges_a_canceled_month_again(stripe, states, clock):
    invoice = states.sent()
    patients = list(invoice.line_items.values_list("patient_reference", flat=True))
    corrected(invoice, K.CANCEL, clock)
    late = make_patient(invoice.office)
    result = activate_patient(
        office_id=invoice.office_id, patient_id=late.pk, actor=ACTOR, now=clock.at, activated_at=utc("2026-02-20")
    )
    assert invoice.cycle.key in result.waived_cycles
    for at in (NEXT_CLOSE, LATER_CLOSE):
        close(at)
    for patient in [*patients, late.pk]:
        assert live_lines(patient, invoice.cycle.key) == 0
        assert live_lines(patient, "2026-03") == 1  # the months after it are billed as ever
    assert_invariants()


def test_nothing_charges_a_replaced_month_a_second_time(stripe, states, clock):
    invoice = states.sent()
    kept, gone = invoice.line_items.order_by("created_at", "pk")
    replaced(invoice, clock, [gone.pk])
    for at in (NEXT_CLOSE, LATER_CLOSE):
        close(at)
    assert live_lines(kept.patient_reference, kept.cycle_key) == 1
    assert live_lines(gone.patient_reference, gone.cycle_key) == 0  # charged in error, let off
    assert_invariants()


def test_a_dropped_account_is_not_charged_for_the_month_by_a_later_period(states, clock):
    invoice = states.sent()
    _kept, gone = invoice.line_items.order_by("created_at", "pk")
    replaced(invoice, clock, [gone.pk])
    who = {"office_id": invoice.office_id, "patient_id": gone.patient_reference, "actor": ACTOR, "now": clock.at}
    deactivate_patient(**who, deactivated_at=utc("2026-02-21"))
    result = activate_patient(**who, activated_at=utc("2026-02-25"))
    assert result.waived_cycles == ("2026-02",)
    for at in (NEXT_CLOSE, LATER_CLOSE):
        close(at)
    assert live_lines(gone.patient_reference, "2026-02") == 0
    assert live_lines(gone.patient_reference, "2026-03") == 1
    assert_invariants()


def test_what_becomes_known_of_a_replaced_month_later_is_an_adjustment_as_ever(states, clock):
    invoice = states.sent()
    replaced(invoice, clock)
    late = make_patient(invoice.office)
    activate_patient(
        office_id=invoice.office_id, patient_id=late.pk, actor=ACTOR, now=clock.at, activated_at=utc("2026-02-20")
    )
    line = LineItem.objects.get(patient_reference=late.pk, cycle_key=invoice.cycle.key)
    assert (line.item_type, line.live) == (ItemType.ADJUSTMENT, True)
    assert_invariants()


# --- Adjustments on a corrected invoice ---
@pytest.fixture
def adjusted(states, clock):
    """An invoice of March that charges one patient's February as an adjustment; and that patient."""
    february = states.sent()
    late = make_patient(february.office)
    activate_patient(
        office_id=february.office_id, patient_id=late.pk, actor=ACTOR, now=clock.at, activated_at=utc("2026-02-20")
    )
    clock.forward(days=31)
    close(clock.at)
    drain(clock)
    march = Invoice.objects.get(office=february.office, cycle__key="2026-03")
    assert march.line_items.filter(item_type=ItemType.ADJUSTMENT, patient_reference=late.pk).count() == 1
    return march, late


def test_an_adjustment_on_a_canceled_invoice_is_waived_with_it(adjusted, clock):
    march, late = adjusted
    corrected(march, K.CANCEL, clock)
    reconcile(actor=ACTOR, clock=clock)
    assert not Discrepancy.objects.exists()  # nobody has to charge what was let off
    assert usage_differences(list(BillingCycle.objects.filter(closed_at__isnull=False))) == []
    for at in (LATER_CLOSE, utc("2026-06-20")):
        close(at)
    assert (live_lines(late.pk, "2026-02"), live_lines(late.pk, "2026-03")) == (0, 0)
    assert live_lines(late.pk, "2026-04") == 1
    assert_invariants()


def test_an_adjustment_on_a_replaced_invoice_is_charged_once(adjusted, clock):
    march, late = adjusted
    second = replaced(march, clock)
    for at in (LATER_CLOSE, utc("2026-06-20")):
        close(at)
    assert live_lines(late.pk, "2026-02") == 1
    assert second.line_items.filter(item_type=ItemType.ADJUSTMENT).count() == 1
    assert_invariants()


def test_a_dropped_adjustment_does_not_come_back(adjusted, clock):
    march, late = adjusted
    line = march.line_items.get(item_type=ItemType.ADJUSTMENT)
    replaced(march, clock, [line.pk])
    for at in (LATER_CLOSE, utc("2026-06-20")):
        close(at)
    assert (live_lines(late.pk, "2026-02"), live_lines(late.pk, "2026-03")) == (0, 1)
    assert_invariants()


def test_a_later_activation_says_that_the_month_was_let_off(adjusted, clock):
    march, late = adjusted
    corrected(march, K.CANCEL, clock)
    who = {"office_id": march.office_id, "patient_id": late.pk, "actor": ACTOR, "now": clock.at}
    deactivate_patient(**who, deactivated_at=utc("2026-02-21"))
    result = activate_patient(**who, activated_at=utc("2026-02-25"))
    assert result.waived_cycles == ("2026-02", "2026-03")
    assert live_lines(late.pk, "2026-02") == 0


def test_the_audit_trail_alone_tells_what_was_replaced_and_canceled(states, clock):
    invoice = states.sent()
    gone = invoice.line_items.first()
    corrected(replaced(invoice, clock, [gone.pk]), K.CANCEL, clock)
    found = check_books(office_reference=invoice.office.reference).findings
    # The builders write an office and its periods without entries; the invoices were made by the product.
    assert [each.finding for each in found if each.finding.subject != "office"] == []


def test_no_second_setup_fee_is_charged_while_a_replacement_of_the_first_is_under_way(stripe, clock):
    office, charge = make_office(), Charge(ChargeReason.SETUP_FEE)
    first = charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=clock.at)
    drain(clock)
    first.refresh_from_db()
    agreed(first, K.REPLACE, now=clock.at)
    stripe.dashboard.void(first.stripe_invoice_id)
    hear(stripe, clock)  # Stripe's own news come before our delivery has ended the correction
    first.refresh_from_db()
    assert first.status == InvoiceStatus.CANCELED
    with pytest.raises(SetupFeeAlreadyCharged):
        charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=clock.at)
    drain(clock)
    assert Invoice.objects.get(replaces=first).status == InvoiceStatus.SENT
    assert_invariants(stripe)
