"""The reconciliation desk: a comparison is begun, watched and repaired, and what it found is given to people."""

import csv
import html
import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from billing.admin.progress import LOOKS
from billing.models import CorrectionKind, Discrepancy, DiscrepancyStatus, Invoice, ReconciliationRun
from billing.reconciliation.asked import go_on
from sandbox.stripe_standin import Fault
from tests.billing.admin.conftest import list_address, permit
from tests.billing.correction_scenes import ask as ask_for_correction
from tests.billing.reconciliation.scene import Scene
from tests.billing.scenes import CLOSED_AT

pytestmark = pytest.mark.django_db

MONTH = "2026-02"
DESK = "admin:billing_reconciliationrun_desk"
COMPARE = "admin:billing_reconciliationrun_compare"
SETTLE, COMPARING = "resolve_discrepancy", "compare_books"


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
def ann(clerk):
    permit("clerk", "view_reconciliationrun", "view_discrepancy", "view_correction", SETTLE, COMPARING)
    return clerk


def text(answer):
    return html.unescape(answer.content.decode())


def page_of(run):
    return reverse("admin:billing_reconciliationrun_change", args=[run.pk])


def doing(row, name):
    return reverse(f"admin:billing_{row._meta.model_name}_{name}", args=[row.pk])


def desk(client, month=MONTH):
    return client.get(reverse(DESK), {"month": month})


# --- A comparison from its beginning to its end ---
def test_a_comparison_is_begun_watched_and_told(scene, ann):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    assert f"{reverse(COMPARE)}?month={MONTH}" in text(desk(ann))
    scene.stripe.forget_requests()
    begun = ann.post(reverse(COMPARE), {"month": MONTH, "office": ""})
    run = ReconciliationRun.objects.get()
    assert (begun.headers["Location"], run.cycle_key, run.actor) == (page_of(run), MONTH, "staff:clerk")
    assert scene.stripe.counts() == {}  # no page waits for Stripe
    watched = ann.get(page_of(run))
    assert f"?looks={LOOKS - 1}" in watched.headers["Refresh"]
    assert "Listing invoices at Stripe, 0 of 3" in text(watched)
    assert "watch" in text(desk(ann))
    go_on(clock=timezone.now, until=timezone.now() + timedelta(minutes=1))
    ended = ann.get(page_of(run))
    assert "Refresh" not in ended.headers
    assert "Complete" in text(ended)
    assert "Paid there" in text(ended)
    assert "Paid there" in text(desk(ann))


def test_the_page_looks_again_by_itself_for_some_minutes_only(scene, ann):
    ann.post(reverse(COMPARE), {"month": MONTH})
    run = ReconciliationRun.objects.get()
    assert "looks=4" in ann.get(page_of(run), {"looks": "5"}).headers["Refresh"]
    for last in ("0", "-1", "x", "9" * 30):
        answer = ann.get(page_of(run), {"looks": last})
        assert ("Refresh" in answer.headers) is (last not in {"0"})


def test_without_a_worker_it_goes_on_here(scene, ann):
    ann.post(reverse(COMPARE), {"month": ""})
    run = ReconciliationRun.objects.get()
    assert doing(run, "go_on") in text(ann.get(page_of(run)))
    assert ann.post(doing(run, "go_on")).headers["Location"] == page_of(run)
    run.refresh_from_db()
    assert run.phase == "done"
    assert doing(run, "go_on") not in text(ann.get(page_of(run)))
    assert ann.post(doing(run, "go_on")).status_code == 409


def test_why_it_stands_still_is_said_in_words(scene, ann):
    scene.stripe.script("GET /v1/invoices", [Fault.UNAVAILABLE])
    ann.post(reverse(COMPARE), {"month": MONTH})
    run = ReconciliationRun.objects.get()
    ann.post(doing(run, "go_on"))
    assert "Stripe cannot be reached" in text(ann.get(page_of(run)))


def test_an_office_that_nobody_knows_is_told_at_the_form(scene, ann):
    refused = ann.post(reverse(COMPARE), {"month": MONTH, "office": "nobody"})
    assert refused.status_code == 409
    assert "no office with this reference" in text(refused)
    assert ann.post(reverse(COMPARE), {"month": "1999-01"}).context["form"].errors["month"]
    assert not ReconciliationRun.objects.exists()


# --- Repairing all that a run found ---
def test_a_repair_of_a_run_is_shown_first_and_takes_only_what_stripe_decided(paid_there, scene, ann):
    run = paid_there.run
    assert doing(run, "repair") in text(ann.get(page_of(run)))
    scene.stripe.forget_requests()
    assert "status sent becomes paid" in text(ann.get(doing(run, "repair")))
    assert scene.stripe.counts() == {}
    assert "1 invoices fetched, 1 differences repaired, 0 left." in text(ann.post(doing(run, "repair"), follow=True))
    paid_there.refresh_from_db()
    assert paid_there.status == DiscrepancyStatus.REPAIRED
    assert Invoice.objects.get(pk=paid_there.invoice_id).status == "paid"
    assert ReconciliationRun.objects.get(pk=run.pk).repaired == 1
    assert doing(run, "repair") not in text(ann.get(page_of(run)))
    assert ann.post(doing(run, "repair")).status_code == 409


def test_what_moves_money_is_left_for_two_people(paid_there, scene, ann):
    Discrepancy.objects.update(repair="credit")
    assert "two people" in text(desk(ann, "all"))
    assert ann.post(doing(paid_there.run, "repair")).status_code == 409


# --- What it found, given to people ---
def test_a_difference_is_given_to_somebody_who_may_settle_it(paid_there, ann, boss):
    form = ann.get(doing(paid_there, "assign"))
    assert [name for _value, name in form.context["form"].fields["owner"].choices] == ["Nobody", "boss", "clerk"]
    ann.post(doing(paid_there, "assign"), {"owner": "staff:boss"})
    paid_there.refresh_from_db()
    assert paid_there.owner == "staff:boss"
    assert "Staff:boss" in text(desk(ann, "all"))
    assert ann.post(doing(paid_there, "assign"), {"owner": "staff:stranger"}).context["form"].errors["owner"]
    ann.post(doing(paid_there, "assign"), {"owner": ""})
    paid_there.refresh_from_db()
    assert paid_there.owner == ""


def test_the_desk_counts_and_each_count_leads_to_its_rows(paid_there, ann):
    (kinds, owners, waiting) = desk(ann, "all").context["related_tables"]
    assert (len(kinds.rows), len(owners.rows), waiting.rows) == (1, 1, [])
    for row in (kinds.rows[0], owners.rows[0]):
        address = html.unescape(row[0].split('href="')[1].split('"')[0])
        assert set(ann.get(address).context["cl"].queryset) == {paid_there}


def test_a_correction_that_waits_is_shown_at_the_desk_and_at_the_difference(paid_there, ann):
    correction = ask_for_correction(paid_there.invoice, CorrectionKind.CANCEL, now=timezone.now(), actor="staff:bob")
    page = reverse("admin:billing_correction_change", args=[correction.pk])
    assert page in text(desk(ann, "all"))
    assert page in text(ann.get(reverse("admin:billing_discrepancy_change", args=[paid_there.pk])))


def test_what_is_no_month_is_told(scene, ann):
    assert desk(ann, "1999-01").status_code == 400


# --- The export of what a run found ---
def test_the_differences_of_a_run_are_exported_and_that_is_on_record(paid_there, ann):
    permit("clerk", "view_discrepancy", "export_discrepancy")
    Discrepancy.objects.update(owner="=cmd()")
    address = reverse("admin:billing_discrepancy_export")
    answer = ann.post(f"{address}?run__id__exact={paid_there.run_id}&owned=other", {"format": "0", "resource": ""})
    lines = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    assert [(line["difference"], line["kind"], line["owner"]) for line in lines] == [
        (str(paid_there.pk), "paid_there", "'=cmd()")
    ]
    assert not {"ours", "theirs", "note"} & set(lines[0])
    entry = AuditEntry.objects.get(action="rows.exported")
    assert "owned,run" in entry.payload
    permit("clerk", "view_discrepancy")
    assert ann.get(address).status_code == 403


# --- Who may ---
def test_without_the_permission_nothing_begins(paid_there, clerk):
    permit("clerk", "view_reconciliationrun")
    assert reverse(COMPARE) not in text(desk(clerk))
    assert desk(clerk, "all").context["related_tables"] == []
    for address in (reverse(COMPARE), doing(paid_there.run, "go_on"), doing(paid_there.run, "repair")):
        for refused in (clerk.get(address), clerk.post(address, {"month": MONTH})):
            assert refused.status_code == 403
    assert ReconciliationRun.objects.count() == 1
    permit("clerk", COMPARING)
    assert "billing.view_reconciliationrun" in text(desk(clerk))


def test_the_list_says_how_far_each_comparison_is(paid_there, ann):
    assert "Complete" in text(ann.get(list_address(ReconciliationRun)))
