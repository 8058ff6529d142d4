"""One Stripe account: its objects, its clock, its identity towards the outside, and the request being served."""

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field

import stripe

from sandbox.stripe_standin.clock import Clock
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import resource_missing
from sandbox.stripe_standin.state import State

_ID_LETTERS = string.ascii_letters + string.digits
# Real ids are random; 24 letters of 62 never collide, whichever process wrote the state file before.
_ID_LENGTH = 24

# What an error message and an id call each kind of object.
NOUNS = {"invoice_payment": "invoice payment", "credit_note": "credit note"}
PREFIXES = {
    "customer": "cus",
    "product": "prod",
    "invoice": "in",
    "invoiceitem": "ii",
    "line_item": "il",
    "invoice_payment": "inpay",
    "payment_intent": "pi",
    "charge": "ch",
    "refund": "re",
    "dispute": "du",
    "credit_note": "cn",
    "event": "evt",
}


@dataclass
class RequestOrigin:
    """Which API request causes an event; both None when staff or the customer acted instead."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Account:
    """Everything a handler needs; used only while the stand-in's lock is held."""

    state: State
    clock: Clock
    default_card: str = "succeeds"
    base_url: str = ""
    api_version: str = stripe.api_version
    origin: RequestOrigin = field(default_factory=RequestOrigin)
    # Told about each new event, so that the courier can start its walk.
    on_event: Callable[[Json], None] = lambda _event: None

    def now(self) -> int:
        """Return the account's current second."""
        return self.clock.now()

    def new_id(self, kind: str) -> str:
        """Return a fresh id such as `in_...`."""
        return new_id(PREFIXES[kind])

    def find(self, kind: str, object_id: str) -> Json:
        """Return the object named in the path, or raise the 404."""
        document = self.state.tables[kind].get(object_id)
        if document is None:
            raise resource_missing(NOUNS.get(kind, kind), object_id, param="id", status=404)
        return document

    def named(self, kind: str, object_id: str, param: str) -> Json:
        """Return a live object named by a parameter, or raise the 400; a deleted one counts as missing."""
        document = self.state.tables[kind].get(object_id)
        if document is None or document.get("deleted"):
            raise resource_missing(NOUNS.get(kind, kind), object_id, param=param, status=400)
        return document

    def save(self, document: Json) -> Json:
        """Keep an object under its own kind."""
        return self.state.save(document["object"], document)

    def setting(self, name: str, default: str | None = None) -> str | None:
        """Return a stored setting of the stand-in, such as the card behaviour of a customer."""
        row = self.state.tables["setting"].get(name)
        return row["value"] if row else default

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting; it survives a restart when the state has a file."""
        self.state.save("setting", {"id": name, "value": value})


def new_id(prefix: str) -> str:
    """Return a random id with Stripe's kind of prefix."""
    return f"{prefix}_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
