"""Somebody is told about every incident, and the message says nothing about anybody."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import uuid4

import pytest
import structlog
from django.core.cache import cache
from django.db import transaction

from billing import alerts
from billing.alerts import AlertsInTransaction, AlertSweep, is_usable, send_alerts
from billing.incidents import dispose_incident, record_incident
from billing.models import Incident
from billing.stripe_gateway.refusal import Refusal, RefusalReason
from tests.builders import ACTOR, make_office, utc

NOW = utc("2026-03-20T12:00")

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Pager:
    """Whoever is on call: keeps what arrived, answers as told."""

    status: int = 200
    location: str = ""
    received: list[dict] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    url: str = ""


@contextmanager
def listening(pager: Pager) -> Iterator[Pager]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pager.received.append(json.loads(body))
            pager.paths.append(self.path)
            pager.headers.append(dict(self.headers))
            self.send_response(pager.status)
            if pager.location:
                self.send_header("Location", pager.location)
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    pager.url = f"http://127.0.0.1:{server.server_address[1]}/page"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield pager
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pager(settings):
    cache.clear()
    with listening(Pager()) as pager:
        settings.ALERT_WEBHOOK_URL = pager.url
        yield pager


def blocked(at=NOW, office=None) -> Incident:
    refusal = Refusal(RefusalReason.VALUE_NOT_EXPECTED)
    return record_incident(refusal, call_site="delivery", actor=ACTOR, now=at, office_id=office and office.pk)


def test_an_incident_is_told_once_and_the_row_remembers_when(pager):
    incident = blocked()

    assert send_alerts(now=NOW) == AlertSweep(sent=1, waiting=0)
    assert send_alerts(now=NOW) == AlertSweep(sent=0, waiting=0)
    incident.refresh_from_db()
    assert incident.alerted_at == NOW
    assert len(pager.received) == 1


def test_the_message_holds_four_facts_and_neither_office_nor_actor(pager):
    office = make_office(name="Lakeside Dental")
    incident = blocked(office=office)
    send_alerts(now=NOW)

    (message,) = pager.received
    assert message == {
        "incident": str(incident.pk),
        "reason": "value_not_expected",
        "at": "2026-03-20T12:00:00+00:00",
        "policy_version": incident.policy_version,
    }
    said = json.dumps([pager.received, pager.paths, pager.headers])
    for secret in (str(office.pk), office.reference, office.name, ACTOR):
        assert secret not in said


class KnownCache(dict):
    """A cache that tells for how long each thing was put into it, and does not wait."""

    pauses: list[float]

    def set(self, name, value, seconds):
        self.pauses = [*getattr(self, "pauses", []), seconds] if name == alerts._PAUSED else getattr(self, "pauses", [])
        self[name] = value

    def delete_many(self, names):
        self.clear()


def test_an_alert_that_fails_waits_in_its_row_with_growing_pauses(pager, monkeypatch):
    known = KnownCache()
    monkeypatch.setattr(alerts, "cache", known)
    blocked()
    pager.status = 503

    for _ in range(6):
        known.pop(alerts._PAUSED, None)
        assert send_alerts(now=NOW) == AlertSweep(sent=0, waiting=1)

    assert [seconds + 5 for seconds in known.pauses] == [60, 120, 240, 480, 900, 900]
    assert not Incident.objects.filter(alerted_at__isnull=False).exists()


def test_during_the_pause_nothing_is_sent_and_after_it_everything(pager):
    blocked()
    blocked()
    pager.status = 500
    send_alerts(now=NOW)
    assert len(pager.received) == 1  # one that fails is enough to know

    pager.status = 200
    assert send_alerts(now=NOW) == AlertSweep(sent=0, waiting=2)
    assert len(pager.received) == 1
    cache.delete(alerts._PAUSED)
    assert send_alerts(now=NOW) == AlertSweep(sent=2, waiting=0)
    assert cache.get(alerts._FAILURES) is None


def test_no_redirect_is_followed(pager):
    blocked()
    with listening(Pager()) as elsewhere:
        pager.status, pager.location = 307, elsewhere.url
        assert send_alerts(now=NOW).sent == 0
    assert elsewhere.received == []


def test_no_proxy_and_no_netrc_of_the_machine_is_used(pager, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    blocked()

    assert send_alerts(now=NOW).sent == 1
    assert "Authorization" not in pager.headers[0]


@pytest.mark.parametrize(
    "address",
    ["", "http://pager.example/x", "ftp://pager.example", "http://127.0.0.1.evil.example/", "http://127.0.0.1@evil.example",
     "file:///etc/passwd", "https://", "https://pager.example/a b", "https://pager.example/\n"],
)  # fmt: skip
def test_other_addresses_than_https_and_loopback_are_not_used(address, settings):
    assert not is_usable(address)
    settings.ALERT_WEBHOOK_URL = address
    blocked()
    with structlog.testing.capture_logs() as told:
        assert send_alerts(now=NOW) == AlertSweep(sent=0, waiting=1)
    assert told == [{"event": "incidents_without_alert_address", "count": 1, "log_level": "error"}]


@pytest.mark.parametrize("address", ["https://pager.example/x?y=z", "http://127.0.0.1:8080/x", "http://localhost"])
def test_https_and_loopback_are_used(address):
    assert is_usable(address)


def test_what_a_person_has_dealt_with_is_not_told_any_more(pager):
    incident = blocked()
    dispose_incident(incident_id=incident.pk, disposition="drill", actor=ACTOR, now=NOW)

    assert send_alerts(now=NOW) == AlertSweep(sent=0, waiting=0)
    assert pager.received == []


def test_nothing_is_sent_inside_a_transaction(pager):
    blocked()
    with pytest.raises(AlertsInTransaction), transaction.atomic():
        send_alerts(now=NOW)
    assert pager.received == []


def test_without_a_cache_there_is_no_pause(pager, monkeypatch):
    class Away:
        def get(self, *_args):
            raise ConnectionError(str(uuid4()))

        set = delete_many = get

    monkeypatch.setattr(alerts, "cache", Away())
    blocked()
    assert send_alerts(now=NOW).sent == 1


def test_the_sweep_of_the_worker_sends(pager):
    from billing.tasks import send_alerts as sweep

    blocked()
    sweep.delay()
    assert len(pager.received) == 1
