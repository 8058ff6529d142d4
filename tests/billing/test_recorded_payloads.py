"""What real Stripe has sent, and what it might: 200 or a clean 4xx, nothing of a body kept, no state guessed."""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings

from billing.models import Invoice, StripeEvent
from billing.stripe_events import process_due
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered
from tests.billing.test_webhook import post
from tests.builders import Clock, utc

pytestmark = pytest.mark.django_db

RECORDED = sorted((Path(__file__).parents[1] / "stripe_gateway/recorded").glob("*.json"))
EVENTS = [path for path in RECORDED if path.name.startswith("event.")]
REPLIES = [path for path in RECORDED if path.name.startswith("response.")]
ENVELOPE = {"event_id", "event_type", "object_id", "customer_id", "api_version", "livemode", "created"}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def as_stripe_names(event: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """Give a recorded event, whose ids were normalised, ids of Stripe's shape."""
    event = copy.deepcopy(event)
    event["id"] = f"evt_1Recorded{number}"
    subject = event["data"]["object"]
    prefix = {"invoice": "in", "customer": "cus", "charge": "ch", "payment_intent": "pi", "invoiceitem": "ii"}
    subject["id"] = f"{prefix.get(subject['object'], 'inpay')}_1Recorded{number}"
    return event


def texts(value: Any) -> Iterator[str]:
    """Yield every text of a body, and every number that is long enough to be told from another."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def stored(*, but: type | None = None) -> dict[str, list[Any]]:
    """Return all rows of every table, sealed columns opened."""
    return {
        model._meta.label: sorted(map(repr, model._base_manager.values_list()))
        for model in apps.get_models(include_auto_created=True)
        if model is not but and model._meta.managed
    }


def nothing_kept_of(body: Any) -> None:
    """Of everything in the body only the envelope's five values are in the inbox."""
    for row in StripeEvent.objects.values():
        kept = "\n".join(value for name, value in row.items() if name not in ENVELOPE and isinstance(value, str))
        allowed = "\n".join(str(row[name]) for name in ENVELOPE)
        ours = {"pending", "done", "ignored", "id", "status", "event", "object"}
        found = {
            text for text in texts(body) if len(text) > 3 and text not in allowed and text not in ours and text in kept
        }
        assert found == set()


def test_there_are_recordings_of_both_kinds():
    assert len(EVENTS) >= 25
    assert len(REPLIES) >= 40


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recording_as_it_is_gets_a_clean_answer_and_leaves_nothing(path):
    before = stored()
    response = post(read(path))

    # Replies are no events, and the recordings' ids were replaced by file names: neither is Stripe's shape.
    assert (response.status_code, response.content) == (400, b"")
    assert stored() == before


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_a_recorded_event_is_200_and_only_its_envelope_is_kept(path):
    event = as_stripe_names(read(path))
    before = stored(but=StripeEvent)
    assert post(event).status_code == 200

    assert stored(but=StripeEvent) == before
    row = StripeEvent.objects.get()
    object_id = row.object_id or row.customer_id  # that of a customer is kept encrypted
    assert (row.event_id, row.event_type, object_id) == (event["id"], event["type"], event["data"]["object"]["id"])
    assert row.api_version == "2025-11-17.clover"
    nothing_kept_of(event)


@pytest.mark.parametrize("path", REPLIES, ids=lambda path: path.stem)
def test_a_recorded_object_inside_an_event_is_200_and_not_kept(path):
    body = read(path)
    event = {
        "id": "evt_1Wrapped", "object": "event", "type": "invoice.updated", "created": 1_790_000_000,
        "livemode": False, "api_version": "2025-11-17.clover", "data": {"object": body},
    }  # fmt: skip
    before = stored(but=StripeEvent)
    assert post(event).status_code == 200

    assert stored(but=StripeEvent) == before
    assert StripeEvent.objects.get().object_id == ""
    nothing_kept_of(event)


def test_no_recording_moves_our_books(stripe):
    """Worked through against a Stripe that knows none of these objects, until nothing is tried any more."""
    clock = SharedClock(CLOSED_AT, stripe)
    delivered(stripe, clock)
    for number, path in enumerate(EVENTS):
        assert post(as_stripe_names(read(path), number)).status_code == 200
    named = {"billing.StripeEvent", "billing.OutboundRequest"}
    before = {label: rows for label, rows in stored().items() if label not in named}
    walk = Clock(StripeEvent.objects.latest("received_at").received_at)
    for _ in range(35):
        process_due(clock=walk)
        walk.forward(hours=7)

    assert {label: rows for label, rows in stored().items() if label not in named} == before
    assert set(StripeEvent.objects.values_list("status", flat=True)) <= {"dead", "ignored", "foreign"}


# --- Hostile: what no Stripe sends, signed with our secret all the same ---
EVENT = as_stripe_names(read(next(path for path in EVENTS if ".invoice.paid." in path.name)))
MARKER = "Zweistein, Amelie *1961"
WRONG = (None, "", [], {}, True, 0, -1, 1.5, 10**400, "\u202e" * 20, "\u0000", MARKER, {"id": MARKER}, [[[MARKER]]])
PLACES = (
    *EVENT,
    "data.object",
    "data.object.id",
    "data.object.object",
    "data.previous_attributes",
    "account",
    "context",
)


def changed(place: str, value: Any) -> dict[str, Any]:
    event = copy.deepcopy(EVENT)
    *way, last = place.split(".")
    inner = event
    for name in way:
        inner = inner[name]
    inner[last] = value
    return event


@pytest.mark.parametrize("place", PLACES)
def test_any_field_of_any_other_type_is_200_or_400_and_not_kept(place):
    for value in WRONG:
        response = post(changed(place, value))
        assert response.status_code in {200, 400}, value
        assert response.content == b""
    assert MARKER not in json.dumps(stored())


@pytest.mark.parametrize("place", PLACES)
def test_any_field_may_be_missing(place):
    event = changed(place, None)
    *way, last = place.split(".")
    inner = event
    for name in way:
        inner = inner[name]
    del inner[last]
    assert post(event).status_code in {200, 400}


THIN = {
    "id": "evt_test_65R", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
    "livemode": False, "created": "2026-03-20T00:00:00.000Z", "reason": None, "context": None,
    "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
}  # fmt: skip
OTHERS = {
    "a thin event of version 2": (THIN, 400),
    "a notification of version 2": (THIN | {"object": "event"}, 400),
    "of a connected account": (EVENT | {"account": "acct_1Connected"}, 200),
    "of an organization": (EVENT | {"context": "org_1/acct_2"}, 200),
    "about a balance": (changed("data.object", {"object": "balance"}), 200),
    "about a file": (changed("data.object", {"id": "file_1", "object": "file", "filename": MARKER}), 200),
    "about a coupon named by somebody": (changed("data.object", {"id": MARKER, "object": "coupon"}), 200),
    "nested": (changed("data.object.metadata", json.loads("[" * 100 + "]" * 100)), 200),
    "full of other scripts": (changed("data.object.metadata", {"\u0645\U0001f9ff": "\u6f22" * 5_000}), 200),
    "with a number beyond all": (changed("data.object.total", 10**4_000), 200),
}


@pytest.mark.parametrize("name", OTHERS)
def test_events_of_other_kinds_get_a_clean_answer(name):
    event, status = OTHERS[name]
    response = post(event)
    assert (response.status_code, response.content) == (status, b"")
    assert MARKER not in json.dumps(stored())


@pytest.mark.parametrize(("old", "new"), [(b'"livemode": false', b'"livemode": false, "livemode": true')])
def test_a_name_that_stands_twice_is_read_as_json_does(old, new):
    body = json.dumps(EVENT).encode().replace(old, new, 1)
    assert post(body).status_code in {200, 400}


def test_the_recordings_are_signed_as_stripe_signs():
    assert post(EVENT, secret="whsec_test_nobody").status_code == 400
    assert post(EVENT, secret=django_settings.STRIPE_WEBHOOK_SECRETS[1]).status_code == 200
    assert StripeEvent.objects.get().received_at.timestamp() == pytest.approx(time.time(), abs=60)
    assert not Invoice.objects.filter(created_at__gt=utc("2026-03-01")).exists()
