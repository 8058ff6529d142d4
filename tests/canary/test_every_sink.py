"""After a month with synthetic patients, no way out of the program holds anything of any of them."""

import base64
import html
import inspect
import json
import logging
import os
import re
import sys
import tempfile
from collections import Counter
from datetime import date
from uuid import uuid4

import pytest
import requests
from celery import Celery
from django.conf import settings as settings_of_django
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.core.cache import cache
from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.test import Client
from redis import Redis

from audit.chain import Fact, record
from billing.models import Incident, Invoice, InvoiceStatus, OutboundRequest, StripeEvent
from billing_project.celery import app
from patients.models import Patient
from patients.registration import register_patient
from sandbox.stripe_standin import Faults, StripeStandIn
from tests.billing.test_alerts import Pager, blocked, listening
from tests.builders import make_office, utc
from tests.canary.console import Console, numbers_seen
from tests.canary.month import Month
from tests.canary.people import people
from tests.canary.search import DISGUISES, is_found
from tests.canary.sinks import SILENT, WAYS_OUT, Sinks, caught, unexpected

SEED = int(os.environ.get("CANARY_SEED", "20260320"))

NOW = utc("2026-03-20T12:00")
ON_ITS_OWN = {"redis"}  # tasks run in this process during the month; a test of its own reads what a broker is given
BORN = {"date_of_birth": date(1900, 1, 1)}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stripe(settings):
    with StripeStandIn(
        api_keys={settings.STRIPE_API_KEY},
        webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0],
        faults=Faults.everything(SEED, 0.3),
    ) as standin:
        settings.STRIPE_API_BASE = standin.base_url
        cache.clear()
        yield standin


def lived_through(number: int, stripe: StripeStandIn, settings, tmp_path) -> Sinks:
    inputs, outputs = tmp_path / "inputs", tmp_path / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    with listening(Pager()) as pager, caught(outputs) as sinks:
        settings.ALERT_WEBHOOK_URL = pager.url
        blocked()
        Month(people(number), sinks, stripe, inputs).live()
        sinks.keep("alert", json.dumps([pager.received, pager.headers]))
    assert unexpected(sinks.written, tmp_path) == set()
    return sinks


def search(sinks: Sinks, stripe: StripeStandIn) -> tuple[Counter, Counter]:
    """Return how many pieces of each sink were searched, and in how many of them somebody was found."""
    searched, found = Counter(), Counter()
    for sink, content in set(sinks.contents(stripe)):
        searched[sink] += 1
        found[sink] += is_found(content)
    return searched, +found


def assert_nobody_is_anywhere(number: int, stripe: StripeStandIn, settings, tmp_path) -> None:
    sinks = lived_through(number, stripe, settings, tmp_path)
    searched, found = search(sinks, stripe)
    assert found == {}, f"seed {SEED}"
    # What was searched is what happened: nobody is missing, and no sink is empty.
    assert Patient.objects.count() == number
    assert Invoice.objects.filter(status=InvoiceStatus.SENT).exists()
    ways = {sink for sinks in WAYS_OUT.values() for sink in sinks} - ON_ITS_OWN
    # The rate limit's counters live for a second: in Redis they may be gone by now. (What is planted there is found.)
    assert {sink for sink in ways if not searched[sink]} - {"cache"} == SILENT
    assert {sink for sink in searched if not sink.startswith("table ")} <= ways
    assert_one_person_was_shown(sinks)
    assert_no_reference_left(sinks, stripe)
    assert_every_request_is_in_evidence(stripe)


def assert_one_person_was_shown(sinks: Sinks) -> None:
    """The page of a reveal shows all of the one, and nothing of anybody else."""
    (number,) = numbers_seen(sinks.revealed)
    person = next(each for each in people(100_000) if each.text("f").endswith(number))
    told = html.unescape(sinks.revealed)
    assert [value for value in person.identity().values() if value not in told] == []


def assert_no_reference_left(sinks: Sinks, stripe: StripeStandIn) -> None:
    """The random reference is ours alone: not for Stripe, logs, alerts or the outbox."""
    references = {str(pk) for pk in Patient.objects.values_list("pk", flat=True)}
    outward = (
        "log", "alert", "stripe", "export", "metrics", "evidence", "mail", "table billing_outb",
        "table billing_stripeevent", "table billing_incident",
    )  # fmt: skip
    for sink, content in sinks.contents(stripe):
        if sink.startswith(outward):
            text = content.decode("latin-1") if isinstance(content, bytes) else content
            assert not [each for each in references if each in text], sink


def assert_every_request_is_in_evidence(stripe: StripeStandIn) -> None:
    """What we wrote down as sent is what Stripe saw: as many, and the very same ones."""
    ours = Counter(
        (row.method, row.path + (f"?{row.query}" if row.query else ""), row.body)
        for row in OutboundRequest.objects.exclude(error_code="connect_failed")
    )
    theirs = Counter((each.method, each.target, each.body.decode()) for each in stripe.requests)
    assert ours == theirs
    assert ours.total() == len(stripe.requests) > 0


def test_nothing_of_300_people_leaves_in_a_month_with_faults(stripe, settings, tmp_path):
    assert_nobody_is_anywhere(300, stripe, settings, tmp_path)


PLANTED = people(1)[0].identity()


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("kind", PLANTED)
def test_an_identifier_is_found_in_every_disguise(kind, disguise):
    hidden = DISGUISES[disguise](PLANTED[kind])
    assert is_found(f'{{"at": "2026-03-20", "note": "{hidden}"}}')
    assert is_found(f"a=b&note={hidden}&c=d".encode())


def test_what_is_ours_is_not_taken_for_a_person():
    for honest in ("2026-03-20T12:00:00Z", "cus_Qzxw", "a" * 64, "Monthly patient account services", SEED):
        assert not is_found(str(honest))


def plant_in_row(text, _sinks, _stripe):
    Incident.objects.create(
        id=uuid4(), at=NOW, policy_version="1", reason="x", call_site="x", actor="x", disposition=text
    )


def plant_in_audit(text, _sinks, _stripe):
    with transaction.atomic():
        record(Fact("office:x", "x", {"x": text}), actor=text, now=NOW)


def plant_in_inbox(text, _sinks, _stripe):
    StripeEvent.objects.create(
        event_id=text, event_type="x", object_id="x", api_version="x", livemode=False, created=NOW, received_at=NOW,
        next_attempt_at=NOW, digest="x",
    )  # fmt: skip


def plant_in_admin_log(text, _sinks, _stripe):
    user = get_user_model().objects.create_user("x")
    LogEntry.objects.create(user=user, object_repr=text, action_flag=1)


def plant_in_requests(text, _sinks, _stripe):
    """Past the field that encrypts, as a forgotten one would."""
    words = ("x", "GET", "/x", "", text, "x", "1", "")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_outboundrequest (sent_at, replayed, operation, method, path, query, body, digest,"
            " policy_version, error_code) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [connection.ops.adapt_datetimefield_value(NOW), False, *words],
        )


def plant_in_log(text, sinks, _stripe):
    """As a formatter without our rules would write it."""
    handler = logging.StreamHandler(sinks.log)
    handler.handle(logging.LogRecord("x", logging.ERROR, "x", 1, "patient %s", (text,), None))


def plant_on_terminal(text, sinks, _stripe):
    sys.stderr.write(f"row 7: {text}\n")


def plant_in_answer(text, sinks, _stripe):
    sinks.keep("answer", json.dumps({"detail": text}))


def plant_in_alert(text, sinks, _stripe):
    sinks.keep("alert", text)


def plant_at_stripe(text, _sinks, stripe):
    requests.post(f"{stripe.base_url}/v1/customers", data={"note": text}, timeout=5)


def plant_in_file(text, _sinks, _stripe):
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)


def plant_in_file_name(text, sinks, _stripe):
    (sinks.folder / f"{text.replace('/', '_')}.csv").write_text("x")


def plant_in_export(kind):
    """An office with a person's name: the file that the console really hands out is read, the spreadsheet unpacked."""

    def plant(text, sinks, _stripe):
        make_office(name=text)
        register_patient(office_id=make_office().pk, actor="x", now=NOW, **people(1)[0].identity() | BORN)
        Console(people(1), sinks).export_every_list()

    plant.__name__ = f"plant_in_export_{kind}"
    return plant


def plant_in_title(text, sinks, _stripe):
    sinks.keep_answer(HttpResponse(f"<html><title>{text}</title></html>"))


def plant_in_address(text, sinks, _stripe):
    sinks.keep_answer(HttpResponseRedirect(f"/admin/?q={text}"))


def plant_in_metrics(text, sinks, _stripe):
    sinks.keep("metrics", f'billing_invoices{{office="{text}"}} 1')


def plant_in_evidence(text, sinks, _stripe):
    sinks.keep("evidence", f"| {text} |")


def plant_in_mail(text, _sinks, _stripe):
    mail.send_mail("x", text.encode("ascii", "replace").decode(), "a@b.example", ["c@d.example"])


def plant_in_cache(text, _sinks, _stripe):
    cache.set("x", text)


def plant_in_session(text, _sinks, _stripe):
    Client().get("/admin/")
    session = SessionStore()
    session["x"] = text
    session.save()


PLACES = {
    plant_in_row: "table billing_incident",
    plant_in_audit: "table audit_auditentry",
    plant_in_inbox: "table billing_stripeevent",
    plant_in_admin_log: "table django_admin_log",
    plant_in_requests: "table billing_outboundrequest",
    plant_in_log: "log",
    plant_on_terminal: "terminal",
    plant_in_answer: "answer",
    plant_in_alert: "alert",
    plant_at_stripe: "stripe",
    plant_in_file: "file",
    plant_in_file_name: "file name",
    plant_in_export("csv"): "export csv",
    plant_in_export("xlsx"): "export xlsx",
    plant_in_title: "title",
    plant_in_address: "address",
    plant_in_metrics: "metrics",
    plant_in_evidence: "evidence",
    plant_in_mail: "mail",
    plant_in_cache: "cache",
    plant_in_session: "table django_session",
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("disguise", ["plain", "reversed", "base64 after one byte", "\\u-escaped"])
def test_a_leak_that_is_planted_is_found_where_it_was_planted(place, disguise, stripe, tmp_path):
    """The search can fail: each sink is read to where the leak is."""
    stripe.faults = None
    with caught(tmp_path) as sinks:
        place(DISGUISES[disguise](PLANTED["first_name"]), sinks, stripe)
    assert PLACES[place] in search(sinks, stripe)[1]


def test_a_file_written_elsewhere_is_noticed(tmp_path):
    (tmp_path / "in").mkdir()
    with caught(tmp_path / "in") as sinks:
        (tmp_path / "dump.csv").write_text("x")
    assert unexpected(sinks.written, tmp_path / "in") == {str(tmp_path / "dump.csv")}


def our_tasks():
    app.loader.import_default_modules()
    return [task for name, task in app.tasks.items() if name.startswith("billing.tasks.")]


@pytest.mark.redis
def test_what_celery_puts_into_redis_carries_no_data(stripe, settings):
    """The doorbell rings with a name and nothing else; the same queue with a planted argument is found."""
    broker = os.environ["REDIS_URL"]
    queue = f"canary-{uuid4()}"
    connection = Redis.from_url(broker)
    application = Celery("canary", broker=broker, set_as_current=False)
    application.conf.task_serializer = "json"
    try:
        for task in our_tasks():
            application.send_task(task.name, queue=queue)
        told = connection.lrange(queue, 0, -1)
        assert len(told) == len(our_tasks()) >= 5
        for message in map(json.loads, told):
            arguments, keywords, _embedded = json.loads(base64.b64decode(message["body"]))
            assert (arguments, keywords) == ([], {})
        assert not any(map(is_found, told))
        application.send_task("billing.tasks.deliver_outbox", args=[PLANTED["email"]], queue=queue)
        assert any(map(is_found, connection.lrange(queue, 0, -1)))
    finally:
        connection.delete(queue)


def test_every_task_takes_no_arguments():
    """What cannot be passed cannot be put into Redis."""
    assert our_tasks()
    assert [task.name for task in our_tasks() if inspect.signature(task.run).parameters] == []


@pytest.mark.full
def test_nothing_of_10_000_people_leaves_in_a_month_with_faults(stripe, settings, tmp_path):
    assert_nobody_is_anywhere(10_000, stripe, settings, tmp_path)


def test_the_page_of_ways_out_names_every_sink_by_its_name():
    page = (settings_of_django.BASE_DIR / "docs/compliance/ways-out.md").read_text(encoding="utf-8")
    named = {
        code for row in re.findall(r"\| ([^|]*) \|$", page, re.MULTILINE) for code in re.findall(r"`([^`]+)`", row)
    }
    sinks = {sink for each in WAYS_OUT.values() for sink in each}
    assert named <= sinks
    assert {sink for sink in sinks if not sink.startswith("table ")} - {"stripe"} <= named
    assert named >= SILENT
