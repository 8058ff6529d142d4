"""A compact life of two offices in which every kind of request leaves, and what must be true of it afterwards.

Everything a mutant could leak is at hand: patients with marked identities, a staff note, an owner's own e-mail.
"""

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.cache import cache

from billing.billing_run import run_due
from billing.canary import CanaryOutcome, run_canary
from billing.charges import Charge, charge_office
from billing.minimization.outbound_scan import judge, scanner
from billing.minimization.profile_approval import approve_profile
from billing.models import ChargeReason, Incident, Invoice, OutboundRequest, OutboxMessage, OutboxStep, ParkedOffice
from billing.stripe_gateway.evidence import request_digest
from billing.stripe_gateway.rate_limit import SharedRateLimiter
from offices.models import CollectionMethod
from patients.registration import register_patient
from sandbox.stripe_standin import Fault, StripeStandIn
from tests.billing.scenes import CLOSED_AT, OPENED_AT, SharedClock, drain, hear
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.canary.people import people
from tests.canary.search import STEM, is_found

NOTE = f"{STEM}note, do not bill the family"
_ID = re.compile(
    r"\b(?:cus|in|ii|il|pi|ch|evt)_[A-Za-z0-9]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|Office \w{8}"
)
_NUMBER = re.compile(r"<\d+>|(?<=created\[gte\]=)177\d{7}")
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

Transcript = list[tuple[str, ...]]


class Broken(AssertionError):
    """The flow does not hold; says which sentence, for the report of survivors."""


def live(stripe: StripeStandIn) -> None:
    """Live through it, one message after the other, with lost replies, so that every look is taken."""
    cache.clear()
    random.seed(0)  # back-off draws from it: when a retry comes is the same in each run
    clock = SharedClock(CLOSED_AT, stripe)
    stripe.script("POST /v1/customers", [Fault.HANG_AFTER_COMMIT])
    stripe.script("POST /v1/invoices", [Fault.ERROR_AFTER_COMMIT, None, Fault.UNAVAILABLE])
    stripe.script("POST /v1/invoiceitems", [None, Fault.HANG_AFTER_COMMIT])
    stripe.script("POST /v1/invoices/{id}/finalize", [Fault.HANG_AFTER_COMMIT])
    first = _month("mutant-1", billing_email=f"{STEM.lower()}@owner.example")
    for person in people(4):
        register_patient(office_id=first.pk, actor=ACTOR, now=OPENED_AT, **_identity(person))
    drain(clock)
    charge_office(office_id=first.pk, charge=Charge(ChargeReason.SETUP_FEE, 5_00), actor=ACTOR, now=CLOSED_AT)
    drain(clock)
    note = Charge(ChargeReason.TRAINING, 99_00, note=NOTE, override_reason="asked for by the office")
    charge_office(office_id=first.pk, charge=note, actor=ACTOR, now=CLOSED_AT)
    drain(clock)
    second = _month("mutant-2", "Lakeside Dental", collection_method=CollectionMethod.CHARGE_AUTOMATICALLY)
    drain(clock)
    stripe.script("POST /v1/customers/{id}", [Fault.HANG_AFTER_COMMIT])
    for office, name in ((first, "Northside Family Clinic"), (second, "Lakeside Dental Group")):
        _approve(office.pk, name, "accounts@northside.example")
        drain(clock)
    hear(stripe, clock)


def _month(reference: str, name: str = "", **fields):
    office = make_office(reference=reference, **fields)
    make_patient(office, (utc("2026-01-02"), None))
    make_patient(office, (utc("2026-02-20"), None))
    if name:
        _approve(office.pk, name, "billing@lakeside-dental.example")
    for moment in (OPENED_AT, CLOSED_AT):
        run_due(as_of=moment, actor=ACTOR, now=moment)
    return office


def _identity(person) -> dict[str, object]:
    fields = person.identity()
    return fields | {"date_of_birth": person.born}


def _approve(office_id, name: str, email: str) -> None:
    values = {"name": name, "email": email, "actor": ACTOR, "now": CLOSED_AT, "override_reason": "seen"}
    approve_profile(office_id=office_id, **values)


def transcript(stripe: StripeStandIn) -> Transcript:
    """Return what Stripe saw, sorted, with each random id as the number of its appearance, so that two runs compare."""
    numbers: dict[str, str] = {}

    def numbered(text: str) -> str:
        return _ID.sub(lambda found: numbers.setdefault(found[0], f"<{len(numbers)}>"), text)

    seen: Transcript = []
    for request in stripe.requests:
        headers = sorted((name.lower(), value) for name, value in request.headers if name.lower() != "host")
        pairs = [f"{name}={value}" for name, value in request.parameters()]
        sealed = [f"{name}: {value}" for name, value in headers if name not in {"content-length"}]
        seen.append(tuple(map(numbered, (request.method, request.path, *pairs, *sealed))))
    return sorted(seen)  # events are heard in the order of their random ids


def blocked() -> bool:
    """Whether the product stopped something by itself."""
    return Incident.objects.exclude(call_site="canary").exists() or ParkedOffice.objects.exists()


def leaks(stripe: StripeStandIn, honest: Transcript) -> bool:
    """Whether something left that does not leave without a mutant, whichever of our ids stand in it."""
    return not _forms(transcript(stripe)) <= _forms(honest)


def _forms(seen: Transcript) -> set[tuple[str, ...]]:
    return {tuple(_NUMBER.sub("<>", part) for part in request) for request in seen}


def problems(stripe: StripeStandIn, honest: Transcript | None) -> Iterator[str]:
    """Yield each sentence that is not true; `honest` is the transcript of a run without a mutant."""
    requests = stripe.requests
    if any(is_found(request.raw()) for request in requests):
        yield "a patient, a note or an owner's address is in the bytes"
    if honest is not None and transcript(stripe) != honest:
        yield "Stripe saw other requests than it does without the mutant"
    yield from _evidence(requests)
    yield from _keys(requests)
    yield from _outcome(stripe)


# What an event makes us fetch belongs to no message.
ASKED_BY_NEWS = {"retrieve_invoice", "retrieve_customer", "retrieve_payment_intent"}


def _evidence(requests) -> Iterator[str]:
    rows = list(OutboundRequest.objects.select_related("message"))
    ours = Counter((row.method, row.path + (f"?{row.query}" if row.query else ""), row.body) for row in rows)
    if ours != Counter((each.method, each.target, each.body.decode()) for each in requests):
        yield "the evidence is not what Stripe saw"
    if any(request_digest(row.method, row.path, row.query, row.body) != row.digest for row in rows):
        yield "a digest is not that of its text"
    if any(row.message is None and row.operation not in ASKED_BY_NEWS for row in rows):
        yield "a request is on no message"
    if not any(row.error_code for row in rows) or not any(row.status == 200 for row in rows):
        yield "the evidence does not say what came of a request"


def _keys(requests) -> Iterator[str]:
    sent = [request.header("Idempotency-Key") for request in requests if request.method == "POST"]
    stored = {str(key) for key in OutboxStep.objects.values_list("idempotency_key", flat=True)}
    if any(key is None or not _UUID4.fullmatch(key) for key in sent) or not stored <= set(sent):
        yield "a key is not random or not the step's own"
    if len(set(sent)) != sum(OutboxStep.objects.values_list("key_version", flat=True)):
        yield "steps share a key, or took another one without saying so"


def _outcome(stripe: StripeStandIn) -> Iterator[str]:
    if blocked():
        yield "an office is parked"
    if run_canary(actor=ACTOR, now=CLOSED_AT) is not CanaryOutcome.BLOCKED:
        yield "the canary is not blocked"
    if OutboxMessage.objects.exclude(status="done").exists():
        yield "a message is not done"
    if set(Invoice.objects.exclude(closed_at=None).values_list("status", flat=True)) != {"sent", "paid"}:
        yield "an invoice is neither sent nor paid"
    if stripe.left_over():
        yield "a fault was not met"
    if not all(judge(_candidate(request), scanner()).allowed for request in stripe.requests):
        yield "a request of ours is refused by the scan"


def _candidate(request) -> dict[str, object]:
    form = dict(parse_qsl(request.query or request.body.decode(), keep_blank_values=True))
    key = request.header("Idempotency-Key")
    return {"method": request.method, "path": request.path, "params": form, "idempotency_key": key}


class Turns:
    """Counts how often a turn at the rate limit was taken; the limiter itself stays as it is."""

    def __init__(self) -> None:
        self.taken, self._acquire = 0, SharedRateLimiter.acquire

    def __enter__(self) -> "Turns":
        outer, original = self, self._acquire

        def acquire(limiter: SharedRateLimiter) -> object:
            outer.taken += 1
            return original(limiter)

        SharedRateLimiter.acquire = acquire
        return self

    def __exit__(self, *_error: object) -> None:
        SharedRateLimiter.acquire = self._acquire


def run(honest: Transcript | None) -> tuple[list[str], Transcript, bool, bool]:
    """Live through the flow at a stand-in of its own; return problems, transcript, what leaked and what was blocked."""
    started = time.monotonic()
    with (
        StripeStandIn(api_keys={settings.STRIPE_API_KEY}, webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0]) as stripe,
        Turns() as turns,
    ):
        settings.STRIPE_API_BASE = stripe.base_url
        found: list[str] = []
        try:
            live(stripe)
        except Exception as error:  # noqa: BLE001 - a mutant may break anything; the report names it
            found.append(f"{type(error).__name__} in the flow")
        if turns.taken < len(stripe.requests):
            found.append("a request left without its turn at the rate limit")
        stopped = blocked()
        leaked = honest is not None and leaks(stripe, honest)
        seen = transcript(stripe)
        found += problems(stripe, honest)
    if time.monotonic() - started > timedelta(seconds=60).total_seconds():
        found.append("the flow hangs")
    return found, seen, leaked, stopped
