"""Events that were missed are asked for again: none twice, none lost, and what Stripe no longer keeps is said."""

import json
from contextlib import suppress
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from django.core.management import call_command

from audit.models import AuditEntry
from billing.event_replay import FIRST_WINDOW, KEPT, OVERLAP, WindowEmpty, replay_events
from billing.minimization.outbound_scan import judge, scanner
from billing.models import EventReplay, ExpectedEvent, Invoice, InvoiceStatus, StripeEvent
from billing.stripe_events import process_due
from sandbox.stripe_standin import Fault
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, ring
from tests.builders import ACTOR

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(stripe):
    return SharedClock(CLOSED_AT, stripe)


@pytest.fixture
def missed(stripe, clock):
    """A paid invoice of which no webhook has told."""
    invoice, stripe_id = delivered(stripe, clock)
    stripe.dashboard.pay_invoice(stripe_id)
    clock.forward(minutes=1)
    return invoice


def replay(clock, **fields):
    return replay_events(**{"since": CLOSED_AT, "actor": ACTOR, "clock": clock} | fields)


def status_of(invoice) -> str:
    return Invoice.objects.get(pk=invoice.pk).status


def test_what_was_missed_arrives_and_is_worked_through(stripe, clock, missed):
    summary = replay(clock)

    assert status_of(missed) == InvoiceStatus.PAID
    assert summary.counts["seen"] == summary.counts["new"] == StripeEvent.objects.count() > 0
    row = EventReplay.objects.get()
    assert (row.events_new, row.finished_at, row.dry_run) == (summary.counts["new"], clock.at, False)
    assert AuditEntry.objects.filter(stream="stripe_events", action="events.replayed").count() == 1


def test_a_second_replay_finds_nothing_new_and_asks_about_no_invoice(stripe, clock, missed):
    replay(clock)
    asked = stripe.counts()["GET /v1/invoices/{id}"]
    before = list(StripeEvent.objects.order_by("pk").values())
    summary = replay(clock)

    assert summary.counts["new"] == 0
    assert list(StripeEvent.objects.order_by("pk").values()) == before
    assert stripe.counts()["GET /v1/invoices/{id}"] == asked


def test_events_that_arrived_by_webhook_too_are_one_row_without_a_conflict(stripe, clock, missed):
    ring(stripe, clock.at)
    total = StripeEvent.objects.count()
    assert replay(clock).counts["new"] == 0
    assert StripeEvent.objects.count() == total
    assert not StripeEvent.objects.filter(conflict_at__isnull=False).exists()


def test_types_that_we_do_not_listen_to_are_left_out(stripe, clock, missed):
    replay(clock)
    kinds = {kind.partition(".")[0] for kind in StripeEvent.objects.values_list("event_type", flat=True)}

    assert {"invoiceitem", "invoice_payment"} & {each["type"].partition(".")[0] for each in stripe.objects("event")}
    assert kinds <= {"invoice", "payment_intent", "customer"}


def test_pages_follow_each_other_to_the_end(stripe, clock, missed):
    (invoice,) = stripe.objects("invoice")
    for number in range(250):
        stripe.dashboard.edit("invoice", invoice["id"], description=f"{number}")
    clock.forward(minutes=1)
    summary = replay(clock)

    listed = [each for each in stripe.objects("event") if each["type"].startswith("invoice.")]
    assert StripeEvent.objects.filter(event_type__startswith="invoice.").count() == len(listed) > 250
    assert summary.counts["unreadable"] == 0
    assert len(EventReplay.objects.get().page_ends.split()) == len(stripe.objects("event")) // 100


def test_a_window_is_half_open(stripe, clock, missed):
    first = min(each["created"] for each in stripe.objects("event"))
    events_of = {each["id"] for each in stripe.objects("event") if each["created"] == first}
    start = CLOSED_AT.fromtimestamp(first, CLOSED_AT.tzinfo)
    replay(clock, since=start, until=start + timedelta(seconds=1))

    assert set(StripeEvent.objects.values_list("pk", flat=True)) <= events_of


def test_a_dry_run_counts_and_writes_nothing_but_that_it_asked(stripe, clock, missed):
    summary = replay(clock, dry_run=True)

    assert summary.counts["new"] > 0
    assert not StripeEvent.objects.exists()
    assert status_of(missed) == InvoiceStatus.SENT
    assert EventReplay.objects.get().dry_run
    assert not AuditEntry.objects.filter(action="events.replayed").exists()


# --- Where a replay begins ---
def test_without_a_beginning_it_goes_on_an_hour_before_the_last_one_ended(stripe, clock, missed):
    assert replay(clock, since=None).window_from == (clock.at - FIRST_WINDOW).replace(microsecond=0)
    ended = clock.at
    clock.forward(days=5)  # longer than any fixed window of the beat
    assert replay(clock, since=None).window_from == ended.replace(microsecond=0) - OVERLAP


def test_a_replay_of_a_later_window_leaves_no_gap_before_it(stripe, clock, missed):
    ended = replay(clock).window_until
    clock.forward(days=2)  # nothing was asked for in between
    later = replay(clock, since=clock.at - timedelta(hours=1)).window_until
    clock.forward(hours=1)
    summary = replay(clock, since=None)
    assert summary.window_from == ended - OVERLAP
    clock.forward(hours=1)
    assert replay(clock, since=None).window_from == summary.window_until - OVERLAP
    assert summary.window_until > later


def test_a_replay_that_stripe_cut_short_and_a_dry_run_are_not_where_the_next_begins(stripe, clock, missed):
    replay(clock, since=None)
    ended = clock.at.replace(microsecond=0)
    clock.forward(days=1)
    replay(clock, since=None, dry_run=True)
    stripe.script("GET /v1/events", [Fault.UNAVAILABLE])
    assert replay(clock, since=None).stopped == "server_error"
    clock.forward(days=1)

    assert replay(clock, since=None).window_from == ended - OVERLAP


def test_what_is_older_than_30_days_is_said_and_the_rest_is_taken(stripe, clock, missed):
    summary = replay(clock, since=clock.at - timedelta(days=90))

    assert summary.cut_to_30_days
    assert clock.at - KEPT < summary.window_from < clock.at - KEPT + timedelta(minutes=2)
    assert status_of(missed) == InvoiceStatus.PAID


@pytest.mark.parametrize(("since", "until"), [(0, 0), (5, 1), (-60, -40)], ids=["empty", "backward", "too old"])
def test_a_window_without_a_second_is_refused(stripe, clock, missed, since, until):
    with pytest.raises(WindowEmpty):
        replay(clock, since=clock.at + timedelta(days=since), until=clock.at + timedelta(days=until))
    assert not EventReplay.objects.exists()


def test_a_replay_hears_what_a_write_waited_for(stripe, clock, missed):
    clock.forward(hours=1)
    summary = replay(clock)

    assert (summary.counts["heard"], summary.counts["silent"]) == (1, 0)
    assert ExpectedEvent.objects.get().heard_at is not None


# --- The command ---
def output(capsys, *arguments: str) -> dict:
    with suppress(SystemExit):  # what needs a person; "ok" says the same
        call_command("replay_stripe_events", "--json", *arguments)
    return json.loads(capsys.readouterr().out)


def test_the_command_says_that_stripe_keeps_30_days(stripe, capsys):
    stripe.dashboard.set_clock(None)
    told = output(capsys, "--since", "2026-01-01T00:00:00Z")

    assert not told["ok"]
    assert [problem["code"] for problem in told["problems"]] == ["older_than_30_days"]


def test_the_command_with_a_stripe_that_is_away_says_so_and_ends_well(stripe, capsys):
    stripe.go_down()
    told = output(capsys)

    assert told["ok"]
    assert [problem["code"] for problem in told["problems"]] == ["no_reply"]
    assert EventReplay.objects.get().finished_at is None


# --- What was asked is what the scan allows ---
def verdict(scan, raw, **changes: str) -> str:
    path, _, query = raw.target.partition("?")
    params = dict(parse_qsl(query)) | changes
    request = {"method": raw.method, "path": path, "params": params, "headers": dict(raw.headers)}
    return judge(request, scan).reason


def test_every_page_of_a_replay_stays_allowed_and_no_other_window_is(stripe, clock, missed):
    (invoice,) = stripe.objects("invoice")
    for number in range(250):
        stripe.dashboard.edit("invoice", invoice["id"], description=f"{number}")
    clock.forward(minutes=1)
    stripe.forget_requests()
    replay(clock)
    asked = [raw for raw in stripe.requests if raw.path == "/v1/events"]
    scan = scanner()

    assert len(asked) == 3
    assert {verdict(scan, raw) for raw in stripe.requests} == {"allowed"}
    assert verdict(scan, asked[0], **{"created[gte]": "1700000000"}) != "allowed"
    assert verdict(scan, asked[1], starting_after="evt_1AmelieZweistein") != "allowed"


def test_the_questions_about_an_unknown_invoice_stay_allowed(stripe, clock, missed):
    Invoice.objects.filter(pk=missed.pk).update(stripe_invoice_id=None)
    ring(stripe, clock.at)
    stripe.forget_requests()
    for _ in range(5):
        process_due(clock=clock)
        clock.forward(hours=7)
    scan = scanner()

    asked = {raw.path.split("/")[2] for raw in stripe.requests}
    assert {"invoices", "invoice_payments"} <= asked
    assert {verdict(scan, raw) for raw in stripe.requests} == {"allowed"}
