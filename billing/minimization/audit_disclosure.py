"""Which entries of the audit trail an export may write out; of all others it holds a digest.

An entry about a patient account joins a reference with a time: pseudonymous ePHI (decisions.md 35). So the default is
to withhold, and an action is shown only when it is named here.
"""

import json

SHOWN = frozenset(
    {
        "api_key.issued",
        "api_key.revoked",
        "canary.not_blocked",
        "charge.created",
        "cycle.opened",
        "field_keys.rotated",
        "incident.disposed",
        "invoice.closed",
        "invoice.status_changed",
        "note.advice_overridden",
        "office.anchor_changed",
        "office.customer_created",
        "office.imported",
        "office.parked",
        "office.plan_changed",
        "office.price_overridden",
        "office.status_changed",
        "office.unparked",
        "office.updated",
        "office.zone_changed",
        "outbox.key_renewed",
        "patients.imported",
        "request.blocked",
    }
)


def may_show(action: str, payload: str) -> bool:
    """Return whether an entry may be written out; never one whose payload names a patient account."""
    try:
        facts = json.loads(payload)
    except ValueError:
        return False  # tampered with: who knows what is in it
    return action in SHOWN and isinstance(facts, dict) and "patient" not in facts
