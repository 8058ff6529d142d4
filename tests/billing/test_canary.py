"""The synthetic leak is blocked each time; when it is not, somebody is told, and Stripe sees nothing all the same."""

import json

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.models import AuditEntry
from billing import canary
from billing.canary import SYNTHETIC_NAME, CanaryOutcome, run_canary
from billing.incidents import CANARY_NOT_BLOCKED
from billing.models import CanaryRun, Incident, OutboundRequest, ParkedOffice
from billing.stripe_gateway import client
from billing.stripe_gateway.guard import Guard
from billing.stripe_gateway.rate_limit import RateLimitSaturated
from billing.stripe_gateway.refusal import Refusal, RefusalReason
from tests.billing.test_alerts import Pager, blocked, listening
from tests.builders import ACTOR, utc

NOW = utc("2026-03-20T12:00")

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_canary_is_blocked_and_nothing_is_left_behind_but_its_run(stripe):
    assert run_canary(actor=ACTOR, now=NOW) is CanaryOutcome.BLOCKED

    assert list(CanaryRun.objects.values_list("at", "blocked")) == [(NOW, True)]
    assert stripe.requests == ()
    assert not OutboundRequest.objects.exists()
    assert not Incident.objects.exists()
    assert not ParkedOffice.objects.exists()


def test_the_canary_goes_the_real_way_to_the_guard(stripe, monkeypatch):
    seen = []
    inspect = Guard.inspect

    def watched(self, method, url, headers, body, expectation):
        seen.append((method, url, body, expectation.values["name"]))
        inspect(self, method, url, headers, body, expectation)

    monkeypatch.setattr(Guard, "inspect", watched)
    run_canary(actor=ACTOR, now=NOW)

    ((method, url, body, expected),) = seen
    assert (method, url) == ("POST", f"{stripe.base_url}/v1/customers")
    assert b"SYNTHETIC-CANARY" in body
    assert expected == canary.OPAQUE_NAME


def test_its_text_says_that_it_is_synthetic():
    assert "SYNTHETIC" in SYNTHETIC_NAME
    assert "Nobody" in SYNTHETIC_NAME


def never_refuses(monkeypatch):
    monkeypatch.setattr(Guard, "judge", lambda *_args: None)
    monkeypatch.setattr(Guard, "inspect", lambda *_args: None)


def refuses_bytes_only(monkeypatch):
    """The worst case: whoever broke the guard left what the first look asks."""
    monkeypatch.setattr(Guard, "inspect", lambda *_args: None)


def bypassed_adapter_check(monkeypatch):
    refuses_bytes_only(monkeypatch)
    monkeypatch.setattr("billing.stripe_gateway.transport._differs", lambda *_args: False)


def blind_to_values(monkeypatch):
    monkeypatch.setattr(Guard, "compare", lambda *_args: None)


def wrong_reason(monkeypatch):
    refusal = Refusal(RefusalReason.NO_EXPECTATION)
    monkeypatch.setattr(Guard, "judge", lambda *_args: refusal)


@pytest.mark.parametrize(
    "broken", [never_refuses, refuses_bytes_only, bypassed_adapter_check, blind_to_values, wrong_reason]
)
def test_a_guard_that_does_not_block_is_an_incident_and_stripe_still_sees_nothing(stripe, monkeypatch, broken):
    broken(monkeypatch)
    assert run_canary(actor=ACTOR, now=NOW) is CanaryOutcome.NOT_BLOCKED

    assert b"SYNTHETIC" not in stripe.all_bytes()
    assert stripe.requests == ()
    assert list(CanaryRun.objects.values_list("blocked", flat=True)) == [False]
    (incident,) = Incident.objects.all()
    assert (incident.reason, incident.call_site, incident.office_id) == (CANARY_NOT_BLOCKED, "canary", None)
    assert AuditEntry.objects.filter(stream="security", action="canary.not_blocked").exists()


def test_without_its_mark_a_bypassed_guard_would_let_it_out(stripe, monkeypatch):
    """The last layer is what keeps the text here; without it the test above would see it at Stripe."""
    refuses_bytes_only(monkeypatch)
    monkeypatch.setattr("billing.stripe_gateway.transport._is_canary", lambda _judged: False)
    run_canary(actor=ACTOR, now=NOW)
    assert b"SYNTHETIC" in stripe.all_bytes()


def test_a_client_that_answers_from_elsewhere_is_not_blocked(stripe, monkeypatch):
    monkeypatch.setattr(canary, "call_stripe", lambda *_args, **_more: None)
    assert run_canary(actor=ACTOR, now=NOW) is CanaryOutcome.NOT_BLOCKED


def test_an_error_that_is_no_refusal_is_not_blocked(stripe, monkeypatch):
    def fail(*_args, **_more):
        raise RuntimeError

    monkeypatch.setattr(canary, "call_stripe", fail)
    assert run_canary(actor=ACTOR, now=NOW) is CanaryOutcome.NOT_BLOCKED


def test_a_saturated_rate_limit_is_neither(stripe, monkeypatch):
    def saturated(_limiter):
        raise RateLimitSaturated(10)

    monkeypatch.setattr("billing.stripe_connection._take_turn", saturated)
    assert run_canary(actor=ACTOR, now=NOW) is CanaryOutcome.NOT_TRIED
    assert not CanaryRun.objects.exists()
    assert not Incident.objects.exists()


def run(capsys, *arguments):
    code = 0
    try:
        call_command(*arguments)
    except SystemExit as left:
        code = left.code
    except CommandError as error:
        code = error.returncode
    return code, capsys.readouterr().out


def test_the_command_exits_0_when_blocked_and_1_when_not(stripe, capsys, monkeypatch, settings):
    code, out = run(capsys, "run_canary", "--json")
    assert (code, json.loads(out)["counts"]) == (0, {"blocked": 1, "not_blocked": 0, "not_tried": 0})

    never_refuses(monkeypatch)
    cache.clear()
    with listening(Pager()) as pager:
        settings.ALERT_WEBHOOK_URL = pager.url
        code, out = run(capsys, "run_canary", "--json")
    assert (code, json.loads(out)["problems"][0]["code"]) == (1, "canary_not_blocked")
    assert [message["reason"] for message in pager.received] == ["canary_not_blocked"]


def test_beat_tries_the_canary_every_hour_and_sweeps_alerts_every_minute(stripe):
    from billing.tasks import run_canary as task
    from billing_project.celery import app

    beat = app.conf.beat_schedule
    assert beat["try-canary"]["schedule"].hour == set(range(24))
    assert beat["sweep-alerts"]["schedule"] == 60
    assert {entry["task"] for entry in beat.values()} <= set(app.tasks)
    task.delay()
    assert CanaryRun.objects.get().blocked
    assert client.USER_AGENT  # the guard of the canary is made of the client's own constants


def test_an_incident_is_disposed_of_once_with_a_finding_and_a_name(capsys):
    incident = blocked()
    arguments = [
        "dispose_incident",
        str(incident.pk),
        "--finding",
        "drill",
        "--by",
        "jo",
        "--note",
        "asked for",
        "--json",
    ]

    assert run(capsys, *arguments, "--dry-run")[0] == 0
    incident.refresh_from_db()
    assert incident.disposed_at is None

    assert json.loads(run(capsys, *arguments)[1])["counts"] == {"incidents_disposed": 1}
    incident.refresh_from_db()
    assert (incident.disposed_by, incident.disposition) == ("command:jo", "drill: asked for")
    assert json.loads(run(capsys, *arguments)[1])["problems"][0]["code"] == "incident_not_open"
    entry = AuditEntry.objects.get(action="incident.disposed")
    assert "asked for" not in entry.payload


def test_too_many_words_or_no_id_are_usage_errors(capsys):
    incident = blocked()
    words = ["--finding", "drill", "--by", "jo"]
    assert run(capsys, "dispose_incident", str(incident.pk), *words, "--note", "x" * 200, "--json")[0] == 2
    assert run(capsys, "dispose_incident", "no-id", *words, "--json")[0] == 2
