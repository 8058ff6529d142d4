"""The reconciliation desk: differences side by side, owned, noted, accepted or mended; and the balance of a month."""

import html
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from billing.admin.discrepancy_filters import FoundFilter, OwnerFilter, StakeFilter
from billing.models import Discrepancy, DiscrepancyStatus, Invoice, InvoiceStatus
from billing.reconciliation.balance import balances
from sandbox.stripe_standin import Fault
from tests.billing.admin.conftest import list_address, permit
from tests.billing.reconciliation.scene import Scene
from tests.billing.scenes import CLOSED_AT

pytestmark = pytest.mark.django_db

SETTLE = "resolve_discrepancy"
ACTIONS = ("own", "note", "accept", "repair")


@pytest.fixture
def scene(stripe) -> Iterator[Scene]:
    # Before the scene: the limiter of requests remembers when it was asked last.
    with time_machine.travel(CLOSED_AT + timedelta(days=2), tick=True):
        yield Scene(stripe)


@pytest.fixture
def paid_there(scene) -> Discrepancy:
    """An invoice that is paid at Stripe, of which no news came."""
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    scene.reconcile()
    return Discrepancy.objects.get()


@pytest.fixture
def balance_there(scene) -> Discrepancy:
    """A customer with a balance: somebody has to look."""
    scene.stripe.dashboard.edit("customer", scene.offices[0].stripe_account.customer_id, balance=-5)
    scene.reconcile()
    return Discrepancy.objects.get()


@pytest.fixture
def ann(clerk):
    permit("clerk", "view_discrepancy", "view_invoice", SETTLE, "request_correction")
    return clerk


def text(answer):
    return html.unescape(answer.content.decode())


def page_of(row):
    return reverse("admin:billing_discrepancy_change", args=[row.pk])


def doing(row, name):
    return reverse(f"admin:billing_discrepancy_{name}", args=[row.pk])


# --- Seeing ---
def test_both_sides_stand_beside_each_other_and_what_differs_is_marked(paid_there, ann):
    (table,) = ann.get(page_of(paid_there)).context["related_tables"]
    marked = {row[0]: (row[1], row[2]) for row in table.rows if "differs" in row[3]}
    assert marked["Status"] == ("sent", "paid")
    assert marked["Paid"] == ("0.00", f"{paid_there.invoice.total_cents / 100:.2f}")
    same = [row for row in table.rows if not row[3]]
    assert all(row[1] == row[2] or "-" in row[1:3] for row in same)  # "-": not told by that side


def test_the_page_offers_what_fits(paid_there, scene, ann):
    page = text(ann.get(page_of(paid_there)))
    assert all(doing(paid_there, name) in page for name in ACTIONS)
    assert doing(paid_there, "correct") not in page


def test_what_people_have_to_decide_is_not_offered_as_a_repair(balance_there, ann):
    page = text(ann.get(page_of(balance_there)))
    assert doing(balance_there, "accept") in page
    assert doing(balance_there, "repair") not in page
    refused = ann.post(doing(balance_there, "repair"))
    assert refused.status_code == 409
    assert "nothing that one look" in text(refused)


# --- Doing ---
def test_a_repair_is_shown_before_it_is_done_and_then_takes_what_stripe_says(paid_there, scene, ann):
    scene.stripe.forget_requests()
    shown = text(ann.get(doing(paid_there, "repair")))
    assert "sent becomes paid" in shown
    assert scene.stripe.counts() == {}  # looking asks Stripe nothing
    assert Invoice.objects.get(pk=paid_there.invoice_id).status == InvoiceStatus.SENT
    answer = ann.post(doing(paid_there, "repair"), follow=True)
    assert "marked as repaired" in text(answer)
    assert Invoice.objects.get(pk=paid_there.invoice_id).status == InvoiceStatus.PAID
    paid_there.refresh_from_db()
    assert (paid_there.status, paid_there.ended_by) == (DiscrepancyStatus.REPAIRED, "staff:clerk")
    assert not [method for method in scene.stripe.counts() if method.startswith("POST")]
    assert ann.post(doing(paid_there, "repair")).status_code == 409


def test_while_stripe_is_away_nothing_is_repaired_and_the_form_says_so(paid_there, scene, ann):
    scene.stripe.script("GET /v1/invoices/{id}", [Fault.UNAVAILABLE] * 5)
    refused = ann.post(doing(paid_there, "repair"))
    assert refused.status_code == 409
    assert "stripe is away" in text(refused)
    paid_there.refresh_from_db()
    assert paid_there.status == DiscrepancyStatus.OPEN


def test_somebody_takes_it_on_notes_what_was_found_and_accepts_it(balance_there, ann):
    assert "It is yours." in text(ann.post(doing(balance_there, "own"), follow=True))
    assert doing(balance_there, "own") not in text(ann.get(page_of(balance_there)))
    ann.post(doing(balance_there, "note"), {"words": "asked the bank"})
    assert "asked the bank" in text(ann.get(doing(balance_there, "note")))
    assert "asked the bank" not in text(ann.get(page_of(balance_there)))
    assert "Accepted." in text(ann.post(doing(balance_there, "accept"), {"words": "a goodwill balance"}, follow=True))
    balance_there.refresh_from_db()
    assert (balance_there.owner, balance_there.status) == ("staff:clerk", DiscrepancyStatus.ACCEPTED)
    page = text(ann.get(page_of(balance_there)))
    assert not [name for name in ACTIONS if doing(balance_there, name) in page]
    for name in ("own", "accept", "note"):
        assert ann.post(doing(balance_there, name), {"words": "again"}).status_code == 409
    assert "bank" not in str(list(AuditEntry.objects.values_list("payload", flat=True)))


@pytest.mark.parametrize("name", ["note", "accept"])
def test_words_about_a_patient_are_refused_and_no_words_are_asked_for_again(name, balance_there, ann):
    refused = ann.post(doing(balance_there, name), {"words": "SSN 123-45-6789 of the patient"})
    assert refused.status_code == 409
    assert "looks like patient data" in text(refused)
    assert ann.post(doing(balance_there, name), {"words": "  "}).context["form"].errors["words"]
    balance_there.refresh_from_db()
    assert (balance_there.note, balance_there.status) == ("", DiscrepancyStatus.OPEN)


def test_a_proposed_correction_leads_to_its_form_or_to_those_that_are_possible(paid_there, ann):
    Discrepancy.objects.update(repair="cancel")
    assert doing(paid_there, "correct") in text(ann.get(page_of(paid_there)))
    led = ann.get(doing(paid_there, "correct"))
    assert led.headers["Location"] == reverse("admin:billing_invoice_ask", args=[paid_there.invoice_id, "cancel"])
    Discrepancy.objects.update(repair="credit", amount_cents=-120)
    assert ann.get(doing(paid_there, "correct"), follow=True).context["form"]["amount"].value() == "1.20"
    Discrepancy.objects.update(repair="cancel", kind="duplicate_at_stripe")  # ours is the right one
    assert doing(paid_there, "correct") not in text(ann.get(page_of(paid_there)))
    assert ann.get(doing(paid_there, "correct")).status_code == 404


def test_a_correction_that_is_not_possible_leads_to_those_that_are(scene, ann):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    scene.reconcile()
    row = Discrepancy.objects.get()
    ann.post(doing(row, "repair"))
    Discrepancy.objects.update(repair="cancel")  # of an invoice that is paid meanwhile
    led = ann.get(doing(row, "correct"))
    assert led.headers["Location"] == reverse("admin:billing_invoice_correct", args=[row.invoice_id])


# --- Finding ---
def test_the_list_is_filtered_by_owner_age_and_amount(paid_there, ann):
    now = timezone.now()

    def listed(name, value):
        return ann.get(list_address(Discrepancy), {name: value}).context["cl"].result_count

    for owner, choice in (("", "nobody"), ("staff:clerk", "me"), ("staff:bob", "other")):
        Discrepancy.objects.update(owner=owner)
        assert {value: listed("owned", value) for value in OwnerFilter.CHOICES} == _only(OwnerFilter, choice)
    for days, choice in ((0, "day"), (3, "week"), (10, "month"), (31, "older")):
        Discrepancy.objects.update(found_at=now - timedelta(days=days))
        assert {value: listed("found", value) for value in FoundFilter.CHOICES} == _only(FoundFilter, choice)
    for cents, choice in ((0, "none"), (10_000, "small"), (-1, "small"), (10_001, "large"), (-20_000, "large")):
        Discrepancy.objects.update(amount_cents=cents)
        assert {value: listed("stake", value) for value in StakeFilter.CHOICES} == _only(StakeFilter, choice)
    assert listed("owned", "nonsense") == 1


def _only(filter_, choice):
    return {value: int(value == choice) for value in filter_.CHOICES}


# --- The balance ---
def test_the_balance_of_a_month_shows_both_sides_and_their_difference(paid_there, ann):
    address = reverse("admin:billing_discrepancy_balance")
    newest = balances()[-1]
    (table,) = ann.get(address).context["related_tables"]
    assert table.title == f"Balance of {newest.month}"
    end = table.rows[-1]
    assert end[1:3] == [f"{cents / 100:.2f}" for cents in (newest.ours.closing, newest.theirs.closing)]
    assert newest.difference > 0
    assert f"{newest.difference / 100:.2f}" in end[3]
    assert ann.get(address, {"month": "1999-01"}).status_code == 400


def test_before_anything_was_billed_the_balance_says_so(scene, ann, monkeypatch):
    monkeypatch.setattr("billing.reconciliation.balance.balances", list)
    page = ann.get(reverse("admin:billing_discrepancy_balance"))
    assert (page.status_code, "Nothing was billed yet." in text(page)) == (200, True)
    assert "Nothing was compared with Stripe yet." in text(page)


# --- Who may ---
def test_without_the_permission_the_page_says_which_one_is_missing(paid_there, clerk):
    permit("clerk", "view_discrepancy")
    page = text(clerk.get(page_of(paid_there)))
    for name in ACTIONS:
        assert doing(paid_there, name) not in page
        for refused in (clerk.get(doing(paid_there, name)), clerk.post(doing(paid_there, name), {"words": "x"})):
            assert refused.status_code == 403
            assert f"billing.{SETTLE}" in text(refused)
    permit("clerk", SETTLE)
    assert "billing.view_discrepancy" in text(clerk.get(reverse("admin:billing_discrepancy_balance")))
    paid_there.refresh_from_db()
    assert (paid_there.status, paid_there.owner) == (DiscrepancyStatus.OPEN, "")
