"""Corrections in the console: what is possible is offered, one person asks, another one decides."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from billing.admin import correction_forms
from billing.admin.correction_asking import ASKING
from billing.correction_offers import correction_offers
from billing.models import Correction, CorrectionKind, CorrectionStatus, Invoice, InvoiceStatus
from tests.billing.admin.conftest import permit
from tests.billing.correction_scenes import States, ask
from tests.billing.scenes import CLOSED_AT, SharedClock, drain, hear
from tests.staff import logged_in, member

pytestmark = pytest.mark.django_db

ASK, DECIDE = "request_correction", "approve_correction"
REASONS = {
    CorrectionKind.CANCEL: "billed_in_error",
    CorrectionKind.REPLACE: "wrong_price",
    CorrectionKind.CREDIT: "goodwill",
    CorrectionKind.WRITE_OFF: "uncollectible",
    CorrectionKind.OFFLINE_PAYMENT: "paid_by_check",
    CorrectionKind.RETRY: "payment_retry",
}
AMOUNTS = {CorrectionKind.CREDIT: "1.00", CorrectionKind.OFFLINE_PAYMENT: "4.00"}
ONE_OF_EACH = ["unsent", "sent", "failed", "processing", "partly_paid", "written_off", "paid", "paid_by_check",
               "canceled", "settled_at_zero"]  # fmt: skip


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def states(stripe, clock):
    return States(stripe, clock)


@pytest.fixture(autouse=True)
def today(clock):
    """The console lives at the time of the books: what was asked for has not expired."""
    with time_machine.travel(CLOSED_AT + timedelta(hours=1), tick=True):
        yield


@pytest.fixture
def second(db) -> Client:
    """Somebody else of the staff."""
    client = logged_in(member("second"))
    permit("second", "view_correction", "view_invoice", "view_lineitem", ASK, DECIDE)
    return client


@pytest.fixture
def asker(clerk) -> Client:
    """A clerk who may both ask and decide, though never about the same."""
    permit("clerk", "view_correction", "view_invoice", "view_lineitem", ASK, DECIDE)
    return clerk


def text(answer):
    return answer.content.decode()


def page_of(invoice):
    return reverse("admin:billing_invoice_change", args=[invoice.pk])


def detail(correction):
    return reverse("admin:billing_correction_change", args=[correction.pk])


def choice_of(invoice):
    return reverse("admin:billing_invoice_correct", args=[invoice.pk])


def form_of(invoice, kind):
    return reverse("admin:billing_invoice_ask", args=[invoice.pk, kind])


def decision(correction, name):
    return reverse(f"admin:billing_correction_{name}", args=[correction.pk])


def filled(invoice, kind, **changes):
    """Fill in the form of this kind as somebody does who sees the invoice now."""
    seen = Invoice.objects.values_list("version", flat=True).get(pk=invoice.pk)
    amount = {"amount": AMOUNTS[kind]} if kind in AMOUNTS else {}
    return {"seen_version": seen, "reason": REASONS[kind]} | amount | changes


def asked(client, invoice, kind, **changes):
    answer = client.post(form_of(invoice, kind), filled(invoice, kind, **changes))
    assert answer.status_code == 302, text(answer)
    return Correction.objects.get(invoice=invoice, status__in=["requested", "approved"])


# --- What is offered ---
@pytest.mark.parametrize("state", ONE_OF_EACH)
def test_a_kind_is_offered_just_when_it_may_be_asked_for(state, states, asker):
    invoice = getattr(states, state)()
    page = text(asker.get(choice_of(invoice)))
    offers = correction_offers(invoice)
    for kind in CorrectionKind:
        assert (form_of(invoice, kind) in page) is offers.allows(kind)
        with transaction.atomic():
            outcome = asker.post(form_of(invoice, kind), filled(invoice, kind, **_payback(kind, state)))
            transaction.set_rollback(True)  # the next kind finds the invoice as it was
        assert (outcome.status_code == 302) is (offers.allows(kind) and _fits_whole(kind, invoice)), kind


def _payback(kind, state):
    return {"payback": "out_of_band"} if kind == CorrectionKind.CREDIT and state.startswith("paid") else {}


def _fits_whole(kind, invoice):
    """Tell whether 4.00 is all that is open, so that the check of the form above is the right one."""
    return kind != CorrectionKind.OFFLINE_PAYMENT or correction_offers(invoice).money.outstanding == 400


def test_what_is_not_possible_says_why(states, asker):
    page = text(asker.get(choice_of(states.processing())))
    assert "Nothing can be corrected now." in page
    assert page.count("a payment of this invoice is under way") >= 5


def test_while_one_correction_is_open_no_other_is_offered(states, asker):
    invoice = states.sent()
    asked(asker, invoice, CorrectionKind.CREDIT)
    assert "Nothing can be corrected now." in text(asker.get(choice_of(invoice)))
    again = asker.post(form_of(invoice, "cancel"), filled(invoice, CorrectionKind.CANCEL))
    assert again.status_code == 409
    assert "another correction of this invoice is open" in text(again)


def test_the_button_is_shown_to_who_may_ask_and_not_for_what_is_at_its_end(states, clerk):
    sent, canceled = states.sent(), states.canceled()
    permit("clerk", "view_invoice", ASK)
    assert choice_of(sent) in text(clerk.get(page_of(sent)))
    assert choice_of(canceled) not in text(clerk.get(page_of(canceled)))
    permit("clerk", "view_invoice", DECIDE)
    assert choice_of(sent) not in text(clerk.get(page_of(sent)))


# --- Asking ---
@pytest.mark.parametrize("kind", CorrectionKind)
def test_the_form_says_what_comes_of_it_before_anybody_confirms(kind, states, asker):
    invoice = states.failed() if kind == CorrectionKind.RETRY else states.sent()
    page = text(asker.get(form_of(invoice, kind)))
    for words in (ASKING[kind].lead, ASKING[kind].at_stripe, "Decided by", "4.00 USD", invoice.office.reference):
        assert words in page
    assert not Correction.objects.exists()


def test_a_retry_goes_ahead_at_once_and_is_delivered(states, stripe, clock, asker):
    invoice = states.failed()
    stripe.dashboard.set_card("succeeds")
    correction = asked(asker, invoice, CorrectionKind.RETRY)
    assert correction.status == CorrectionStatus.APPROVED
    clock.at = max(clock.at, timezone.now())
    drain(clock)
    hear(stripe, clock)
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.PAID


def test_a_replacement_leaves_out_what_was_ticked(states, clock, asker, second):
    invoice = states.sent()
    line = invoice.line_items.first()
    page = text(asker.get(form_of(invoice, "replace")))
    for told in (str(line.patient_reference), line.cycle_key, "Active patient", f'value="{line.pk}"'):
        assert told in page
    correction = asked(asker, invoice, CorrectionKind.REPLACE, dropped_lines=[str(line.pk)])
    assert [dropped.line_item_id for dropped in correction.dropped_lines.all()] == [line.pk]
    assert str(line.patient_reference) in text(second.get(detail(correction)))
    assert second.post(decision(correction, "approve")).status_code == 302
    clock.at = max(clock.at, timezone.now())
    drain(clock)
    assert Invoice.objects.get(replaces=invoice).total_cents == 200


def test_of_a_long_invoice_the_accounts_are_written_down(states, asker, monkeypatch):
    monkeypatch.setattr(correction_forms, "MOST_BOXES", 1)
    invoice = states.sent()
    line = invoice.line_items.first()
    assert str(line.pk) not in text(asker.get(form_of(invoice, "replace")))
    for unfit in ("somebody", str(invoice.pk)):
        refused = asker.post(form_of(invoice, "replace"), filled(invoice, CorrectionKind.REPLACE, accounts=unfit))
        assert refused.context["form"].errors["accounts"]
    correction = asked(asker, invoice, CorrectionKind.REPLACE, accounts=f" {line.patient_reference}\n")
    assert correction.dropped_lines.get().line_item_id == line.pk


def test_a_credit_of_a_paid_invoice_asks_how_the_money_goes_back(states, asker):
    invoice = states.paid()
    assert (
        "payback"
        in asker.post(form_of(invoice, "credit"), filled(invoice, CorrectionKind.CREDIT)).context["form"].errors
    )
    assert asked(asker, invoice, CorrectionKind.CREDIT, payback="stripe").amount_cents == 100


@pytest.mark.parametrize("amount", ["", "a lot", "1.999", "-1", "1e3", "99999999999"])
def test_what_is_no_amount_is_told_at_the_field(amount, states, asker):
    invoice = states.sent()
    answer = asker.post(form_of(invoice, "credit"), filled(invoice, CorrectionKind.CREDIT, amount=amount))
    assert answer.status_code == 200
    assert answer.context["form"].errors["amount"]


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (CorrectionKind.CREDIT, {"amount": "4.01"}, "400 cents are due"),
        (CorrectionKind.OFFLINE_PAYMENT, {"amount": "3.99"}, "whole open amount is 400"),
        (CorrectionKind.RETRY, {}, "takes no retry"),
        (CorrectionKind.CANCEL, {"seen_version": "77"}, "changed since it was looked at"),
    ],
)
def test_an_expected_refusal_is_told_at_the_form(kind, changes, words, states, asker):
    invoice = states.sent()
    answer = asker.post(form_of(invoice, kind), filled(invoice, kind, **changes))
    assert answer.status_code == 409
    assert words in text(answer)
    assert not Correction.objects.exists()


def test_no_reason_is_chosen_for_anybody(states, asker):
    invoice = states.sent()
    assert asker.get(form_of(invoice, "cancel")).context["form"].fields["reason"].choices[0][0] == ""
    answer = asker.post(form_of(invoice, "cancel"), filled(invoice, CorrectionKind.CANCEL, reason=""))
    assert answer.context["form"].errors["reason"]


def test_a_reason_of_another_kind_is_not_taken(states, asker):
    invoice = states.sent()
    answer = asker.post(form_of(invoice, "cancel"), filled(invoice, CorrectionKind.CANCEL, reason="paid_by_check"))
    assert answer.context["form"].errors["reason"]


def test_a_note_that_looks_like_patient_data_needs_a_word_why_it_stands(states, asker, second):
    invoice = states.sent()
    note = "born 1961-07-03, MRN 77120"
    refused = asker.post(form_of(invoice, "cancel"), filled(invoice, CorrectionKind.CANCEL, note=note))
    assert refused.status_code == 409
    assert "looks like patient data" in text(refused)
    correction = asked(asker, invoice, CorrectionKind.CANCEL, note=note, override_reason="a serial number")
    assert note in text(second.get(decision(correction, "approve")))  # whoever decides reads it
    assert note not in text(second.get(detail(correction)))
    assert note not in str(list(AuditEntry.objects.values_list("payload", flat=True)))


# --- Deciding ---
def test_a_second_person_approves_and_it_is_carried_out(states, clock, asker, second):
    invoice = states.sent()
    correction = asked(asker, invoice, CorrectionKind.CANCEL)
    assert decision(correction, "approve") in text(second.get(detail(correction)))
    page = text(second.get(decision(correction, "approve")))
    for told in ("staff:clerk", "Billed in error", ASKING[CorrectionKind.CANCEL].at_stripe):
        assert told in page
    assert "Approved." in text(second.post(decision(correction, "approve"), follow=True))
    clock.at = max(clock.at, timezone.now())
    drain(clock)
    invoice.refresh_from_db()
    assert invoice.status == InvoiceStatus.CANCELED
    entry = AuditEntry.objects.get(action="correction.approved")
    assert entry.actor == "staff:second"


def test_who_asked_is_shown_no_decision_and_is_refused_one(states, asker):
    correction = asked(asker, states.sent(), CorrectionKind.CANCEL)
    page = text(asker.get(detail(correction)))
    assert decision(correction, "withdraw") in page
    for name in ("approve", "reject"):
        assert decision(correction, name) not in page
        refused = asker.post(decision(correction, name))
        assert refused.status_code == 409
        assert "somebody else" in text(refused)
    correction.refresh_from_db()
    assert correction.status == CorrectionStatus.REQUESTED


@pytest.mark.parametrize(("name", "outcome"), [("reject", ""), ("withdraw", "withdrawn")])
def test_a_request_is_rejected_by_another_and_withdrawn_by_its_own(name, outcome, states, asker, second):
    correction = asked(asker, states.sent(), CorrectionKind.CANCEL)
    does, does_not = (second, asker) if name == "reject" else (asker, second)
    assert does_not.post(decision(correction, name)).status_code == 409
    assert does.post(decision(correction, name)).status_code == 302
    correction.refresh_from_db()
    assert (correction.status, correction.outcome) == (CorrectionStatus.REJECTED, outcome)
    assert does.post(decision(correction, name)).status_code == 409
    shown = text(does.get(detail(correction)))
    assert not re.search(r'href="[^"]*/(approve|reject|withdraw)', shown)


def test_nobody_approves_what_has_changed_meanwhile(states, asker, second):
    invoice = states.sent()
    correction = asked(asker, invoice, CorrectionKind.CANCEL)
    Invoice.objects.filter(pk=invoice.pk).update(version=99)
    refused = second.post(decision(correction, "approve"))
    assert refused.status_code == 409
    assert "changed since" in text(refused)


def test_what_was_paid_before_it_could_be_canceled_leads_to_a_credit_of_as_much(states, stripe, clock, asker, second):
    invoice = states.sent()
    correction = asked(asker, invoice, CorrectionKind.CANCEL)
    second.post(decision(correction, "approve"))
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    clock.at = max(clock.at, timezone.now())
    drain(clock)
    page = text(asker.get(detail(correction)))
    assert decision(correction, "credit") in page
    led = asker.get(decision(correction, "credit"), follow=True)
    assert led.context["form"]["amount"].value() == "4.00"


# --- Who may ---
def test_without_the_permission_the_page_says_which_one_is_missing(states, clerk):
    invoice = states.sent()
    correction = ask(invoice, CorrectionKind.CANCEL, now=timezone.now())
    addresses = [(choice_of(invoice), ASK), (decision(correction, "withdraw"), ASK)]
    addresses += [(form_of(invoice, kind), ASK) for kind in CorrectionKind]
    addresses += [(decision(correction, name), DECIDE) for name in ("approve", "reject")]
    for address, needed in addresses:
        permit("clerk", "view_invoice", "view_correction", DECIDE if needed == ASK else ASK)
        for refused in (clerk.get(address), clerk.post(address, filled(invoice, CorrectionKind.CANCEL))):
            assert refused.status_code == 403, address
            assert f"billing.{needed}" in text(refused)
    correction.refresh_from_db()
    assert (correction.status, Correction.objects.count()) == (CorrectionStatus.REQUESTED, 1)


def test_what_there_is_not_is_said_to_be_gone(states, boss):
    invoice = states.sent()
    assert boss.get(form_of(invoice, "cancel").replace("cancel", "nonsense")).status_code == 404
    assert boss.get(choice_of(invoice).replace(str(invoice.pk), "no-such-row")).status_code == 404
    gone = form_of(invoice, "cancel").replace(str(invoice.pk), "00000000-0000-4000-8000-000000000000")
    assert boss.get(gone).status_code == 404
