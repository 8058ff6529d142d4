"""Faults: what can go wrong between us and Stripe, scripted one by one or drawn from a printed seed."""

import random
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

Kind = TypeVar("Kind")


class Fault(Enum):
    """One thing that goes wrong with one request."""

    RATE_LIMITED = "429 with Retry-After; nothing ran"
    CONFLICT = "409 lock_timeout; nothing ran"
    KEY_IN_USE = "409 idempotency_key_in_use; nothing ran"
    UNAVAILABLE = "503; nothing ran, nothing stored under the key"
    HANG_BEFORE_COMMIT = "connection closed without a reply; nothing ran"
    ERROR_BEFORE_COMMIT = "500; nothing changed, but the key replays the 500"
    ERROR_AFTER_COMMIT = "500; the change was made, and the key replays the 500"
    HANG_AFTER_COMMIT = "connection closed without a reply; the change was made, the key replays the true result"
    HOLD = "the reply waits, key in flight, until `release()`; then it is sent"
    WRONG_TOTAL = "the reply names another amount than the stored object"
    WRONG_CURRENCY = "the reply names another currency than the stored object"
    WRONG_STATUS = "the reply names another status than the stored object"
    MALFORMED_BODY = "200 with a body that is cut off inside"
    HUGE_BODY = "200 with megabytes of extra fields"
    PRUNED_KEYS = "Stripe has forgotten all idempotency keys; then the request runs normally"
    LATE = "the request waits, key in flight, until `release()`; then it runs, whether or not the client still waits"


class WebhookFault(Enum):
    """One thing that goes wrong with one delivery."""

    DUPLICATED = "delivered twice"
    REORDERED = "delivered after the others of its batch"
    DELAYED = "left for the next round of deliveries"
    DROPPED = "never delivered; only `GET /v1/events` knows it"


@dataclass
class Faults:
    """Draws faults with given rates; the same seed and order of requests give the same faults."""

    seed: int
    rates: Mapping[Fault, float] = field(default_factory=dict)
    webhook_rates: Mapping[WebhookFault, float] = field(default_factory=dict)
    # Reads are spared unless asked for, so that a checker can look at the state while writes fail.
    on_reads: bool = False
    enabled: bool = True

    def __post_init__(self) -> None:
        self._requests = random.Random(f"requests {self.seed}")  # noqa: S311 - repeatable faults, no secrets
        self._webhooks = random.Random(f"webhooks {self.seed}")  # noqa: S311 - repeatable faults, no secrets

    @classmethod
    def everything(cls, seed: int, rate: float, webhook_rate: float = 0.1) -> "Faults":
        """Return all kinds but those that wait for somebody to release them, sharing `rate` between them."""
        kinds = [fault for fault in Fault if fault not in {Fault.HOLD, Fault.LATE}]
        return cls(
            seed,
            dict.fromkeys(kinds, rate / len(kinds)),
            dict.fromkeys(WebhookFault, webhook_rate / len(WebhookFault)),
        )

    def next_fault(self, method: str) -> Fault | None:
        """Draw the fault of the next request; called under the stand-in's lock."""
        if not self.enabled or (method == "GET" and not self.on_reads):
            return None
        return _draw(self._requests, self.rates)

    def next_webhook_fault(self) -> WebhookFault | None:
        """Draw the fault of the next delivery."""
        return _draw(self._webhooks, self.webhook_rates) if self.enabled else None


class Script:
    """Faults written down for exact tests: per route or path, consumed in order."""

    def __init__(self) -> None:
        self._steps: dict[str, deque[Fault | None]] = {}
        self._webhook_steps: dict[str, deque[WebhookFault | None]] = {}
        self.released = threading.Event()

    def add(self, target: str, steps: Iterable[Fault | None]) -> None:
        """Append steps for `POST /v1/invoices`, `POST /v1/invoices/{id}/finalize`, a concrete path, or `*`."""
        self._steps.setdefault(target, deque()).extend(steps)

    def add_webhooks(self, event_type: str, steps: Iterable[WebhookFault | None]) -> None:
        """Append steps for the deliveries of an event type, or of `*`."""
        self._webhook_steps.setdefault(event_type, deque()).extend(steps)

    def next_fault(self, label: str, target: str) -> tuple[bool, Fault | None]:
        """Return whether a step was written for this request, and the step."""
        return _take(self._steps, (target, label, "*"))

    def next_webhook_fault(self, event_type: str) -> tuple[bool, WebhookFault | None]:
        """Return whether a step was written for this delivery, and the step."""
        return _take(self._webhook_steps, (event_type, "*"))

    def left_over(self) -> dict[str, int]:
        """Return how many steps no request has consumed: a test asserts that this is empty."""
        lengths = {target: len(rest) for target, rest in self._steps.items()}
        lengths.update({target: len(rest) for target, rest in self._webhook_steps.items()})
        return {target: length for target, length in lengths.items() if length}

    def clear(self) -> None:
        """Forget all steps and release what is held."""
        self._steps.clear()
        self._webhook_steps.clear()
        self.released.set()


def _draw(source: random.Random, rates: Mapping[Kind, float]) -> Kind | None:
    ticket = source.random()
    for kind, rate in rates.items():
        ticket -= rate
        if ticket < 0:
            return kind
    return None


def _take(steps: dict[str, deque[Kind | None]], targets: tuple[str, ...]) -> tuple[bool, Kind | None]:
    for target in targets:
        if steps.get(target):
            return True, steps[target].popleft()
    return False, None
