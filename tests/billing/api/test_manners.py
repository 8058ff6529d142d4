"""How the API behaves around every answer: rates, request numbers, tags, versions, announcements."""

import itertools
import json
import logging
import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as RedisDown

from billing.api.invoices import InvoiceViewSet
from billing.api.throttling import KeyThrottle
from billing.api.versions import Deprecation
from billing_project.logging import line_formatter
from billing_project.request_ids import present_request_id
from tests.billing.api.conftest import NOW, Portal, codes
from tests.builders import make_patient, utc


@pytest.fixture
def three_a_minute(settings, monkeypatch):
    """At most three calls, at half a minute past."""
    settings.API_RATE_PER_MINUTE = 3
    cache.clear()
    clock = itertools.repeat(30.0)
    monkeypatch.setattr(KeyThrottle, "clock", staticmethod(lambda: next(clock)))


# --- Rates ---
def test_a_key_is_told_what_is_left_and_then_when_to_come_again(portal, three_a_minute):
    answers = [portal.get("patients") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["RateLimit"] for answer in answers] == [f'"minute";r={left};t=30' for left in (2, 1, 0, 0)]
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"minute";q=3;w=60'}
    assert (codes(answers[3]), answers[3]["Retry-After"]) == ({None: "throttled"}, "30")


def test_a_refused_call_does_nothing(portal, three_a_minute):
    for _ in range(4):
        response = portal.post("patients", {"external_id": uuid.uuid4().hex})
    assert response.status_code == 429
    assert portal.office.patients.count() == 3


def test_each_key_has_a_rate_of_its_own(portal, three_a_minute):
    for _ in range(4):
        portal.get("patients")
    assert Portal(portal.office).get("patients").status_code == 200


def test_the_next_minute_counts_anew(portal, three_a_minute, monkeypatch):
    for _ in range(4):
        portal.get("patients")
    monkeypatch.setattr(KeyThrottle, "clock", staticmethod(lambda: 60.0))
    assert portal.get("patients").status_code == 200


def test_a_cache_that_is_down_limits_nobody(portal, three_a_minute, monkeypatch):
    def down(*_args):
        raise RedisDown

    monkeypatch.setattr("billing.api.throttling.cache.incr", down)
    assert [portal.get("patients").status_code for _ in range(5)] == [200] * 5


# --- Request numbers ---
def test_every_answer_has_a_number_and_keeps_the_callers_own(portal, client):
    own = str(uuid.uuid4())
    assert portal.client.get("/api/patients", headers={"X-Request-Id": own})["X-Request-Id"] == own
    first, second = portal.get("patients")["X-Request-Id"], portal.get("patients")["X-Request-Id"]
    assert uuid.UUID(first) != uuid.UUID(second)
    for path in ("/healthz", "/api/nothing", "/nothing"):
        assert uuid.UUID(client.get(path)["X-Request-Id"])


@pytest.mark.parametrize("brought", ["Jane Doe", "1", "x" * 36, "", "A7D1E2F3-4A5B-4C6D-8E7F-901A2B3C4D5E", "\n"])
def test_a_number_that_could_be_somebodys_words_is_replaced(portal, brought):
    given = portal.client.get("/api/patients", headers={"X-Request-Id": brought})["X-Request-Id"]
    assert given != brought
    assert uuid.UUID(given)


def test_a_log_line_of_a_request_carries_its_number(portal, monkeypatch, capfd):
    """Both what is logged meanwhile and what Django says of the answer afterwards."""
    lines = []
    formatter = line_formatter()

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(formatter.format(record)))

    handler, own = Kept(), str(uuid.uuid4())
    logging.getLogger("django.request").addHandler(handler)
    try:
        portal.client.get("/api/nothing", headers={"X-Request-Id": own})
        monkeypatch.setattr(InvoiceViewSet, "list", lambda *_args, **_kwargs: 1 / 0)
        portal.client.get(f"/api/billing/invoices/{portal.office.pk}", headers={"X-Request-Id": own})
    finally:
        logging.getLogger("django.request").removeHandler(handler)
    assert len(lines) >= 2
    assert {line["request"] for line in lines} == {own}
    assert present_request_id() == ""


# --- Tags ---
def test_a_read_that_has_not_changed_is_a_304_without_a_body(portal):
    path = f"/api/billing/offices/{portal.office.pk}/summary"
    first = portal.client.get(path)
    same = portal.client.get(path, headers={"If-None-Match": first["ETag"]})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", first["ETag"])
    assert same["Cache-Control"] == "no-store"
    portal.post(f"billing/patients/{make_patient(portal.office).pk}/activate")
    changed = portal.client.get(path, headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, changed["ETag"] != first["ETag"]) == (200, True)


def test_a_read_takes_no_condition_but_that_one(portal):
    for headers in ({"If-Match": '"other"'}, {"If-None-Match": '"other"'}, {"If-None-Match": "other"}):
        response = portal.client.get("/api/patients", headers=headers)
        assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_a_write_and_a_refusal_have_no_tag(portal):
    assert "ETag" not in portal.post("patients", {"external_id": "1"})
    assert "ETag" not in portal.get(f"billing/payment-status/{uuid.uuid4()}")


# --- Versions ---
@pytest.mark.parametrize("accept", ["application/json; version=1", "application/json", "*/*"])
def test_the_present_version_can_be_asked_for(portal, accept):
    response = portal.client.get("/api/patients", headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("version", ["2", "0", "1.1", "x"])
def test_a_version_that_does_not_exist_is_a_406(portal, version):
    response = portal.client.get("/api/patients", headers={"Accept": f"application/json; version={version}"})
    assert (response.status_code, codes(response)) == (406, {None: "not_acceptable"})


def test_an_address_that_is_to_go_says_so_on_every_answer(portal, monkeypatch):
    going = Deprecation(since=utc("2026-03-01"), gone_from=utc("2026-09-01"), link="https://vendor.example/api/2")
    monkeypatch.setattr(InvoiceViewSet, "deprecated", {"list": going})
    path = f"billing/invoices/{portal.office.pk}"
    for response in (portal.get(path), portal.get(path, surprise="1")):
        assert response["Deprecation"] == f"@{int(utc('2026-03-01').timestamp())}"
        assert response["Sunset"] == "Tue, 01 Sep 2026 00:00:00 GMT"
        assert response["Link"] == '<https://vendor.example/api/2>; rel="deprecation"'
    assert "Deprecation" not in portal.get("patients")


# --- Parked offices ---
def test_a_parked_office_still_accepts_activations(portal):
    portal.office.parked_at = NOW - timedelta(days=1)
    portal.office.save()
    patient = make_patient(portal.office)
    assert portal.post(f"billing/patients/{patient.pk}/activate").status_code == 201
