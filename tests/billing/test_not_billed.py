"""Why an account is not on an invoice: each reason by itself, and each as the books really come to it."""

import uuid
from types import SimpleNamespace

import pytest

from billing import office_terms
from billing.activation import activate_patient
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.corrections import reject_correction
from billing.invoice_backfill import backfill_invoices
from billing.models import ChargeReason, CorrectionKind, Invoice, InvoiceStatus
from billing.not_billed import WORDS, Account, Month, Period, Verdict, Why, judge, why_not_billed
from billing.not_billed import Charge as Charged
from offices.models import OfficeStatus
from offices.timeline import Timeline
from tests.billing.correction_scenes import BOB, agreed, ask, wish
from tests.billing.scenes import CLOSED_AT, OPENED_AT, close_month, due_office
from tests.builders import ACTOR, make_office, make_patient, utc

INVOICE, OTHER, CORRECTION = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
START, END = utc("2026-02-15"), utc("2026-03-15")
OPEN = Month(START, END, closed=False, last_known=0, has_live_invoice=True)
CLOSED = Month(START, END, closed=True, last_known=7, has_live_invoice=True)
ALWAYS = Timeline(statuses=[(utc("2000-01-01"), OfficeStatus.ACTIVE)])
STOPPED = Timeline(statuses=[(utc("2000-01-01"), OfficeStatus.ACTIVE), (START, OfficeStatus.INACTIVE)])


def month(base=CLOSED, **changes):
    names = ("start_at", "end_at", "closed", "last_known", "has_live_invoice", "backfilled", "trial")
    return Month(**{name: getattr(base, name) for name in names} | changes)


def account(*periods, **facts):
    return Account(exists=True, periods=periods, **facts)


DURING = Period(5, utc("2026-02-20"), None)
LATE = Period(8, utc("2026-02-20"), utc("2026-02-21"))
BEFORE, AFTER = Period(1, utc("2026-01-01"), START), Period(9, END, None)


@pytest.mark.parametrize(
    ("why", "in_month", "about", "office"),
    [
        (Why.BILLED_HERE, CLOSED, account(charge=Charged(INVOICE)), ALWAYS),
        (Why.FREE_IN_TRIAL, month(trial=True), account(charge=Charged(INVOICE)), ALWAYS),
        (Why.BILLED_ELSEWHERE, CLOSED, account(charge=Charged(OTHER)), ALWAYS),
        (Why.NOT_MONTHLY, None, account(DURING), ALWAYS),
        (Why.UNKNOWN_ACCOUNT, CLOSED, Account(exists=False, here=False), ALWAYS),
        (Why.OTHER_OFFICE, CLOSED, Account(exists=True, here=False), ALWAYS),
        (Why.NEVER_ACTIVE, CLOSED, account(), ALWAYS),
        (Why.NOT_ACTIVE_THEN, CLOSED, account(BEFORE, AFTER), ALWAYS),
        (Why.OFFICE_NOT_LIVE, CLOSED, account(DURING), STOPPED),
        (Why.LEFT_OUT, CLOSED, account(DURING, left_out_by=CORRECTION), ALWAYS),
        (Why.CYCLE_WAIVED, month(has_live_invoice=False), account(DURING), ALWAYS),
        (Why.ADJUSTMENT_CANCELED, CLOSED, account(LATE, adjustment_canceled=True), ALWAYS),
        (Why.NEXT_CLOSE, CLOSED, account(LATE), ALWAYS),
        (Why.MISSING, CLOSED, account(DURING), ALWAYS),
        (Why.BACKFILL_DRAFT, month(OPEN, backfilled=True), account(DURING), ALWAYS),
        (Why.BEFORE_THE_CLOSE, OPEN, account(DURING), ALWAYS),
    ],
)
def test_each_reason_has_its_facts(why, in_month, about, office):
    verdict = judge(INVOICE, in_month, about, office)
    assert verdict.why is why
    assert verdict.words == WORDS[why]


def test_every_reason_has_words():
    assert set(WORDS) == set(Why)


def test_what_shows_the_answer_comes_with_it():
    assert judge(INVOICE, CLOSED, account(charge=Charged(OTHER)), ALWAYS).invoice_id == OTHER
    assert judge(INVOICE, CLOSED, account(DURING, left_out_by=CORRECTION), ALWAYS).correction_id == CORRECTION
    assert judge(INVOICE, CLOSED, account(BEFORE, AFTER), ALWAYS) == Verdict(
        Why.NOT_ACTIVE_THEN, periods=(BEFORE, AFTER)
    )


@pytest.mark.parametrize(
    ("since", "until", "touches"),
    [
        ("2026-02-01", "2026-02-15", False),  # ends as the month begins
        ("2026-03-15", None, False),  # begins as it ends
        ("2026-02-01", "2026-02-15T00:01", True),
        ("2026-03-14T23:59", None, True),
    ],
)
def test_a_month_is_half_open(since, until, touches):
    period = Period(1, utc(since), utc(until) if until else None)
    assert (judge(INVOICE, OPEN, account(period), ALWAYS).why is Why.BEFORE_THE_CLOSE) is touches


# --- As the books come to it ---
def why(invoice, patient):
    return why_not_billed(Invoice.objects.select_related("cycle").get(pk=invoice.pk), patient.pk)


@pytest.fixture
def closed(db):
    """A closed February with its two accounts."""
    return close_month()


def test_an_account_that_is_charged_is_found_with_its_invoice(closed):
    line = closed.line_items.first()
    assert why(closed, SimpleNamespace(pk=line.patient_reference)) == Verdict(Why.BILLED_HERE, closed.pk)


def test_strangers_and_the_never_active_are_told_apart(closed):
    assert why(closed, SimpleNamespace(pk=uuid.uuid4())).why is Why.UNKNOWN_ACCOUNT
    assert why(closed, make_patient(make_office())).why is Why.OTHER_OFFICE
    assert why(closed, make_patient(closed.office)).why is Why.NEVER_ACTIVE
    gone = make_patient(closed.office, (utc("2026-01-20"), utc("2026-02-01")))
    assert why(closed, gone).why is Why.NOT_ACTIVE_THEN


def test_what_became_known_too_late_waits_for_the_next_close_and_is_charged_there(closed):
    late = make_patient(closed.office, (utc("2026-02-20"), utc("2026-02-25")))
    assert why(closed, late).why is Why.NEXT_CLOSE
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))
    verdict = why(closed, late)
    assert verdict.why is Why.BILLED_ELSEWHERE
    assert Invoice.objects.get(pk=verdict.invoice_id).cycle.key == "2026-03"


def test_an_account_that_the_run_left_out_is_called_an_error(closed):
    stolen = make_patient(closed.office, (utc("2026-02-20"), None))
    closed.cycle.last_period_id = 10**9  # as if the close had seen it
    closed.cycle.save()
    assert why(closed, stolen).why is Why.MISSING


def test_a_canceled_month_is_waived(closed):
    line = closed.line_items.first()
    agreed(closed, CorrectionKind.CANCEL, now=CLOSED_AT)
    assert Invoice.objects.get(pk=closed.pk).status == InvoiceStatus.CANCELED
    assert why(closed, SimpleNamespace(pk=line.patient_reference)).why is Why.CYCLE_WAIVED


def test_an_account_that_a_replacement_leaves_out_is_told_with_the_correction(closed):
    line = closed.line_items.first()
    correction = agreed(closed, wish(CorrectionKind.REPLACE, dropped=frozenset({line.pk})), now=CLOSED_AT)
    verdict = why(closed, SimpleNamespace(pk=line.patient_reference))
    assert (verdict.why, verdict.correction_id) == (Why.LEFT_OUT, correction.pk)
    kept = closed.line_items.exclude(pk=line.pk).get()
    assert why(closed, SimpleNamespace(pk=kept.patient_reference)).why is Why.BILLED_ELSEWHERE


def test_a_replacement_that_was_rejected_leaves_nobody_out(closed):
    line = closed.line_items.first()
    asked = ask(closed, wish(CorrectionKind.REPLACE, dropped=frozenset({line.pk})), now=CLOSED_AT)
    reject_correction(correction_id=asked.pk, actor=BOB, now=CLOSED_AT)
    agreed(closed, CorrectionKind.CANCEL, now=CLOSED_AT)
    assert why(closed, SimpleNamespace(pk=line.patient_reference)).why is Why.CYCLE_WAIVED


@pytest.mark.django_db
def test_an_open_month_charges_it_before_it_closes():
    office = due_office()
    draft = Invoice.objects.get(office=office)
    imported = make_patient(office, (utc("2026-02-25"), None))
    assert why(draft, imported).why is Why.BEFORE_THE_CLOSE
    activated = make_patient(office)
    activate_patient(office_id=office.pk, patient_id=activated.pk, actor=ACTOR, now=OPENED_AT)
    assert why(draft, activated).why is Why.BILLED_HERE


@pytest.mark.django_db
def test_a_trial_is_on_the_invoice_at_nothing():
    office = due_office(status=OfficeStatus.TRIALING)
    draft = Invoice.objects.get(office=office)
    assert {why(draft, patient).why for patient in office.patients.all()} <= {Why.FREE_IN_TRIAL, Why.BEFORE_THE_CLOSE}
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    assert {why(draft, patient).why for patient in office.patients.all()} == {Why.FREE_IN_TRIAL}


@pytest.mark.django_db
def test_a_draft_of_a_backfill_and_a_single_charge():
    office = due_office()
    backfill_invoices(months=("2026-01", "2026-01"), actor=ACTOR, now=OPENED_AT)
    draft = Invoice.objects.get(office=office, origin="backfill")
    late = make_patient(office, (utc("2026-01-20"), utc("2026-01-25")))
    assert why(draft, late).why is Why.BACKFILL_DRAFT
    single = charge_office(office_id=office.pk, charge=Charge(ChargeReason.TRAINING, 100), actor=ACTOR, now=OPENED_AT)
    assert why(single, late).why is Why.NOT_MONTHLY


@pytest.mark.django_db
def test_activity_while_the_office_was_inactive_is_not_charged():
    office = due_office()
    office_terms.change_status(office_id=office.pk, status=OfficeStatus.INACTIVE, actor=ACTOR, now=utc("2026-03-02"))
    office_terms.change_status(office_id=office.pk, status=OfficeStatus.ACTIVE, actor=ACTOR, now=utc("2026-03-10"))
    between = make_patient(office, (utc("2026-03-04"), utc("2026-03-05")))
    assert why(Invoice.objects.get(office=office), between).why is Why.OFFICE_NOT_LIVE


def test_nobody_is_missing_after_a_close(closed):
    """The judgement and the statement that makes the lines agree."""
    office = closed.office
    make_patient(office, (utc("2026-03-16"), utc("2026-03-18")), (utc("2026-04-01"), None))
    make_patient(office, (utc("2026-01-01"), utc("2026-02-20")))  # late for February too
    run_due(as_of=utc("2026-04-20"), actor=ACTOR, now=utc("2026-04-20"))
    invoices = Invoice.objects.filter(office=office, closed_at__isnull=False)
    answers = {why(invoice, patient).why for invoice in invoices for patient in office.patients.all()}
    assert answers == {Why.BILLED_HERE, Why.BILLED_ELSEWHERE, Why.NOT_ACTIVE_THEN}


def test_the_answer_takes_few_questions(closed, django_assert_max_num_queries):
    line = closed.line_items.first()
    invoice = Invoice.objects.select_related("cycle").get(pk=closed.pk)
    with django_assert_max_num_queries(8):
        why_not_billed(invoice, line.patient_reference)
