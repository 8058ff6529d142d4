"""Events: a snapshot of each change, kept for `GET /v1/events` and handed to the courier."""

import json
from typing import Any

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter
from sandbox.stripe_standin.listing import page

# The states of an event's walk to the webhook endpoint; only the first two count as undelivered and not given up.
PENDING, FAILED, DROPPED, DELIVERED = "pending", "failed", "dropped", "delivered"
# Stripe keeps events for 30 days: https://docs.stripe.com/api/events
KEPT_SECONDS = 30 * 24 * 3600


def emit(account: Account, kind: str, document: Json, previous: Json | None = None) -> Json:
    """Record that an object changed; `previous` holds the old values of the fields that did."""
    data: Json = {"object": json.loads(json.dumps(document))}
    if previous:
        data["previous_attributes"] = previous
    event: Json = {
        "id": account.new_id("event"),
        "object": "event",
        "api_version": account.api_version,
        "created": account.now(),
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": account.origin.request_id, "idempotency_key": account.origin.idempotency_key},
        "type": kind,
    }
    account.save(event)
    account.state.save("delivery", {"id": event["id"], "state": PENDING, "attempts": 0})
    account.on_event(event)
    return event


def change(account: Account, document: Json, changes: Json, kind: str | None = None) -> Json:
    """Change fields of an object, keep it, and emit `<object>.updated` (or `kind`) with what was there before."""
    previous = {name: document.get(name) for name, value in changes.items() if document.get(name) != value}
    document.update(changes)
    account.save(document)
    if previous:
        emit(account, kind or f"{document['object']}.updated", document, json.loads(json.dumps(previous)))
    return document


def retrieve_event(account: Account, _params: Json, event_id: str) -> Json:
    """GET /v1/events/{id}."""
    return account.find("event", event_id)


def list_events(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/events: the newest first, not older than 30 days."""
    if "type" in params and "types" in params:
        raise invalid_parameter(
            "You may only specify one of these parameters: type, types.", param="types", code="parameter_unknown"
        )
    wanted = set(params.get("types", [])) | ({params["type"]} if "type" in params else set())
    oldest = account.now() - KEPT_SECONDS

    def fits(event: Json) -> bool:
        return (
            event["created"] >= oldest and _has_type(event["type"], wanted) and _fits_delivery(account, event, params)
        )

    return page(account, "event", params, "/v1/events", keep=fits)


def _has_type(kind: str, wanted: set[str]) -> bool:
    # `invoice.*` names a family, as in Stripe's own filter.
    return not wanted or kind in wanted or any(w.endswith(".*") and kind.startswith(w[:-1]) for w in wanted)


def _fits_delivery(account: Account, event: Json, params: dict[str, Any]) -> bool:
    if "delivery_success" not in params:
        return True
    delivery = account.state.tables["delivery"].get(event["id"])
    delivered = delivery is not None and delivery["state"] == DELIVERED
    return delivered is params["delivery_success"]
