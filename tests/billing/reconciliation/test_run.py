"""A run goes from checkpoint to checkpoint: resumed after a kill, bounded in its calls, honest when it cannot go on."""

import json
from collections import Counter
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

from billing.minimization.outbound_scan import judge, scanner
from billing.models import (
    Discrepancy,
    DiscrepancyStatus,
    Invoice,
    OutboundRequest,
    Payment,
    ReconciliationPhase,
    ReconciliationRun,
    StripeEvent,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)
from billing.models import DiscrepancyKind as Kind
from billing.rebuilt_books import check as books_check
from billing.reconciliation import checkpoint, listing
from billing.reconciliation.balance import balances
from billing.reconciliation.run import reconcile
from billing.reconciliation.staff import accept
from billing.tasks import reconcile_all, reconcile_recent
from offices.locking import OfficeNotFound
from sandbox.stripe_standin import Fault
from tests.billing.reconciliation.plants import customer_of, cycle_of, post
from tests.billing.reconciliation.scene import found
from tests.billing.scenes import hear
from tests.builders import ACTOR


class Killed(BaseException):
    """What kill -9 would look like."""


def test_a_run_that_finds_stripe_away_goes_on_where_it_stopped(scene):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    scene.stripe.script("GET /v1/disputes", [Fault.UNAVAILABLE])
    first = scene.reconcile()
    assert (first.stopped, first.run.phase, first.run.finished_at) == ("stripe_unreachable", "disputes", None)
    scene.stripe.forget_requests()

    second = scene.reconcile()

    assert (second.run.pk, second.stopped, second.run.phase) == (first.run.pk, "", "done")
    assert "GET /v1/invoices" not in scene.stripe.counts()
    assert [kind for kind, _subject in found()] == [Kind.PAID_THERE]


@pytest.mark.parametrize("phase", [phase for phase in ReconciliationPhase if phase != ReconciliationPhase.DONE])
def test_a_run_that_is_killed_anywhere_finds_the_same(scene, monkeypatch, phase):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    post(scene, "/v1/invoices", customer=customer_of(scene.office), currency="usd")
    real = checkpoint.advance

    def killed(run, **moved):
        if run.phase == phase:
            raise Killed
        real(run, **moved)

    if phase == ReconciliationPhase.BOOKS:
        monkeypatch.setattr("billing.reconciliation.run._check_books", lambda *_args: (_ for _ in ()).throw(Killed()))
    for place in ("listing", "customers", "run"):
        monkeypatch.setattr(f"billing.reconciliation.{place}.advance", killed)
    with pytest.raises(Killed):
        scene.reconcile()
    monkeypatch.undo()

    summary = scene.reconcile()

    assert (summary.run.phase, ReconciliationRun.objects.count()) == ("done", 1)
    assert [kind for kind, _subject in found()] == [Kind.PAID_THERE, Kind.UNKNOWN_TO_US]
    assert sum(summary.kinds.values()) == 2


def test_what_an_old_run_has_listed_is_not_taken_for_the_present(scene):
    scene.stripe.script("GET /v1/disputes", [Fault.UNAVAILABLE])
    first = scene.reconcile()
    scene.later(hours=7)
    assert scene.reconcile().run.pk != first.run.pk


def test_of_two_workers_on_one_run_one_stops(scene, monkeypatch):
    real = listing.list_page

    def overtaken(run, **options):
        if run.phase == ReconciliationPhase.REFUNDS:
            ReconciliationRun.objects.update(phase=ReconciliationPhase.DISPUTES)
        real(run, **options)

    monkeypatch.setattr("billing.reconciliation.run.list_page", overtaken)
    assert scene.reconcile().stopped == "run_overtaken"


def test_the_calls_are_pages_and_one_look_at_each_repaired_invoice(scene):
    paid = [scene.offices[0], scene.offices[1]]
    for office in paid:
        scene.focus = office
        scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    scene.stripe.forget_requests()

    summary = scene.reconcile(repair=True)

    lists = ("invoices", "refunds", "disputes", "credit_notes", "customers", "invoiceitems")
    pulls = {"GET /v1/invoices/{id}": 2, "GET /v1/refunds": 3, "GET /v1/disputes": 3, "GET /v1/credit_notes": 3}
    assert scene.stripe.counts() == {**{f"GET /v1/{name}": 1 for name in lists}, **pulls}
    assert (summary.repaired.pulled, summary.repaired.ended, summary.open) == (2, 2, 0)
    assert Payment.objects.filter(invoice__office__in=paid, invoice__invoice_type="monthly").count() == 2


def test_pages_of_a_hundred_are_walked_to_the_end(scene, monkeypatch):
    monkeypatch.setattr("billing.stripe_gateway.outbound_reads.PAGE", ("limit", "100"))
    for _ in range(101):
        post(scene, "/v1/invoices", customer=customer_of(scene.offices[0]), currency="usd")
    scene.stripe.forget_requests()
    summary = scene.reconcile()
    assert summary.run.invoices_seen == 107
    assert scene.stripe.counts()["GET /v1/invoices"] == 2
    assert summary.kinds == {Kind.UNKNOWN_TO_US: 101}


def test_the_scan_lets_a_runs_own_requests_through_and_no_others(scene, monkeypatch):
    for _ in range(101):
        post(scene, "/v1/invoices", customer=customer_of(scene.offices[0]), currency="usd")
        post(scene, "/v1/customers", name="Somebody")
        post(scene, "/v1/invoiceitems", customer=customer_of(scene.offices[0]), currency="usd", amount=100)
    before = OutboundRequest.objects.count()
    scene.reconcile()
    sent = OutboundRequest.objects.order_by("pk")[before:]
    assert sum("starting_after" in request.query for request in sent) == 3
    for request in sent:
        assert verdict(request.path, dict(parse_qsl(request.query))) == "allowed", request.operation
        window = {name: str(int(value) + 1) for name, value in parse_qsl(request.query) if name.startswith("created")}
        if window:
            assert verdict(request.path, dict(parse_qsl(request.query)) | window) != "allowed"


def verdict(path: str, params: dict) -> str:
    return judge({"method": "GET", "path": path, "params": params}, scanner()).reason


def test_no_word_typed_at_stripe_is_stored(scene):
    secret = "For Zebulon Quackenbush, 1980-01-02"
    invoice = scene.sent()
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, description=secret, footer=secret)
    scene.stripe.dashboard.edit("customer", customer_of(invoice.office), name=secret)
    scene.reconcile()
    stored = [str(row) for model in (StripeInvoiceCopy, StripeMoneyCopy, Discrepancy) for row in model.objects.values()]
    assert len(stored) > 6
    assert not [row for row in stored if "Quackenbush" in row or "Zebulon" in row]
    told = Discrepancy.objects.get(kind=Kind.TEXT_CHANGED)
    assert json.loads(told.theirs)["fields"] == ["description", "footer"]


def test_no_customer_id_is_kept_in_clear(scene):
    scene.reconcile()
    ids = {customer_of(office) for office in scene.offices}
    rows = [*StripeInvoiceCopy.objects.values(), *StripeMoneyCopy.objects.values(), *ReconciliationRun.objects.values()]
    assert not [row for row in rows if ids & set(map(str, row.values()))]


def test_a_dry_run_tells_the_same_and_changes_nothing(scene):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    summary = scene.reconcile(repair=True, dry_run=True)
    assert (summary.kinds, summary.proposals, summary.open) == ({Kind.PAID_THERE: 1}, {"pull": 1}, 1)
    assert (found(), summary.repaired.pulled) == ([], 0)
    assert scene.reconcile().kinds == summary.kinds


def test_a_dry_run_counts_as_open_what_a_real_one_would(scene):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    scene.reconcile()
    accept(discrepancy_id=Discrepancy.objects.get().pk, reason="known", actor="ann", now=scene.clock.at)
    assert [scene.reconcile(dry_run=dry).open for dry in (True, False)] == [0, 0]
    by_hand = {"kind": Kind.BOOKS_CHANGED_BY_HAND, "subject": f"office:{scene.office.pk}", "repair": "look"}
    Discrepancy.objects.create(found_at=scene.clock.at, last_seen_at=scene.clock.at, **by_hand)
    assert [scene.reconcile(dry_run=dry).open for dry in (True, False)] == [1, 1]


def test_a_dry_run_that_was_killed_is_not_gone_on_with_as_a_real_one(scene):
    scene.stripe.script("GET /v1/disputes", [Fault.UNAVAILABLE])
    first = scene.reconcile(dry_run=True)
    assert scene.reconcile().run.pk != first.run.pk


def test_a_check_of_the_books_that_was_killed_is_not_gone_on_with_as_a_comparison(scene, monkeypatch):
    def killed():
        raise Killed

    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    monkeypatch.setattr(books_check, "check_books", killed)
    with pytest.raises(Killed):
        books_check.keep_findings(actor=ACTOR, now=scene.clock.at)
    assert scene.reconcile().kinds == {Kind.PAID_THERE: 1}


def test_a_check_of_the_books_leaves_what_stripe_showed_in_the_balances(scene):
    scene.reconcile()
    before = balances()
    assert any(each.theirs.billed for each in before)
    scene.later(hours=1)
    books_check.keep_findings(actor=ACTOR, now=scene.clock.at)
    assert balances() == before


def test_what_is_not_found_again_goes_by_itself(scene):
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    scene.reconcile()
    hear(scene.stripe, scene.clock)
    summary = scene.reconcile()
    gone = Discrepancy.objects.get(kind=Kind.PAID_THERE)
    assert (gone.status, gone.ended_by, summary.gone) == (DiscrepancyStatus.GONE, ACTOR, 1)


def test_what_is_found_again_is_one_row_with_the_evidence_of_today(scene):
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, amount=100)
    scene.reconcile()
    first = Discrepancy.objects.get()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, amount=50)
    scene.reconcile()
    again = Discrepancy.objects.get()
    assert (again.pk, again.found_at) == (first.pk, first.found_at)
    assert again.last_seen_at > first.last_seen_at
    assert json.loads(again.theirs)["paid_cents"] == 150


def test_an_invoice_that_changed_here_meanwhile_is_left_for_the_next_run(scene):
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    Invoice.objects.filter(pk=invoice.pk).update(updated_at=scene.clock.at + timedelta(hours=1))
    assert scene.reconcile().kinds == {}
    scene.later(hours=2)
    assert scene.reconcile().kinds == {Kind.PAID_THERE: 1}


def test_a_run_for_an_office_or_a_month_looks_at_nothing_else(scene):
    mine, other = scene.offices[:2]
    for scene.focus in (mine, other):
        scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
        scene.stripe.dashboard.edit("customer", customer_of(scene.focus), name="Somebody")
    of_office = scene.reconcile(office_reference=mine.reference)
    assert of_office.kinds == {Kind.PAID_THERE: 1, Kind.PROFILE_CHANGED: 1}
    assert set(Discrepancy.objects.values_list("office", flat=True)) == {mine.pk}
    assert scene.reconcile(cycle_key="2020-01").kinds == {}
    key = cycle_of(scene).key
    assert scene.reconcile(cycle_key=key).kinds == {Kind.PAID_THERE: 2}
    assert len(found()) == 3, "a narrower run does not end what lies outside of it"


def test_what_was_closed_long_ago_is_not_asked_for_every_night(scene):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    scene.later(days=200)
    assert scene.reconcile(recent=timedelta(days=120)).kinds == {}
    assert scene.reconcile().kinds == {Kind.PAID_THERE: 1}


def test_an_unknown_office_is_refused(scene):
    with pytest.raises(OfficeNotFound):
        scene.reconcile(office_reference="nobody")


def test_a_pull_that_finds_another_document_leaves_it_open(scene):
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    scene.reconcile()
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, total=1)
    summary = scene.reconcile(repair=True)
    assert (summary.repaired.pulled, summary.open) == (0, 2)
    assert Counter(kind for kind, _subject in found()) == {Kind.TOTAL: 1, Kind.PAID_THERE: 1}


def test_a_repair_settles_the_news_that_were_late(scene):
    from tests.billing.reconciliation.plants import late_event

    late_event(scene)
    scene.reconcile(repair=True)
    assert StripeEvent.objects.get(pk="evt_late").status == "done"


def test_the_workers_do_both_every_night_and_every_week(scene, monkeypatch):
    calls = []
    monkeypatch.setattr("billing.tasks.reconcile", lambda **options: calls.append(options))
    reconcile_recent()
    reconcile_all()
    assert [(each["repair"], each.get("recent")) for each in calls] == [(True, timedelta(days=120)), (True, None)]


def test_nothing_at_all_is_nothing_to_tell(db, stripe):
    from tests.builders import Clock, utc

    summary = reconcile(actor=ACTOR, clock=Clock(utc("2026-03-01")))
    assert (summary.stopped, summary.open, summary.run.phase) == ("", 0, "done")
