"""Signed webhooks: at least once, in no promised order, to a URL or to a callable in the same process."""

import hashlib
import hmac
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.events import DELIVERED, DROPPED, FAILED, PENDING
from sandbox.stripe_standin.faults import Faults, Script, WebhookFault

# A callable takes the body and the headers and returns the HTTP status.
Endpoint: TypeAlias = str | Callable[[bytes, Mapping[str, str]], int]

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10
# Stripe retries for three days with growing pauses; the background thread does so within a demo's patience.
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Delivery:
    """One attempt: the event, and the endpoint's status (0 when it could not be reached)."""

    event_id: str
    event_type: str
    status: int


class Courier:
    """Carries events to the endpoint; never holds the stand-in's lock while the endpoint works."""

    def __init__(self, account: Account, lock: threading.RLock, script: Script, faults: Faults | None) -> None:
        self.endpoint: Endpoint | None = None
        self.secret = ""
        # The signature's time is real time, since the receiver compares it with its own clock.
        self.signing_time: Callable[[], float] = time.time
        self._account, self._lock, self._script, self._faults = account, lock, script, faults
        self._is_suspended = False
        # Ids of events that wait, oldest first; a scan of all events at every wake-up would be quadratic.
        rows = account.state.tables["delivery"].oldest_first()
        self._queue = {row["id"]: None for row in rows if row["state"] in (PENDING, FAILED)}
        self._round = threading.Lock()
        self._wake_up = threading.Event()
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def undelivered(self) -> list[Json]:
        """Return the events the endpoint has not acknowledged, oldest first, dropped ones included."""
        with self._lock:
            rows = self._account.state.tables["delivery"].oldest_first()
            return [self._account.find("event", row["id"]) for row in rows if row["state"] != DELIVERED]

    def deliver_now(self) -> list[Delivery]:
        """Deliver all that wait, and what the endpoint's own work adds; each event is tried once."""
        done: list[Delivery] = []
        tried: set[str] = set()
        with self._round:
            while batch := self._waiting(tried):
                tried.update(event["id"] for event in batch)
                for event, times in self._disturbed(batch):
                    done.extend(self._deliver(event) for _ in range(times))
        return done

    def redeliver(self, event_id: str) -> Delivery:
        """Deliver one event again, whatever its state: staff's "Resend"."""
        with self._lock:
            event = self._account.find("event", event_id)
        return self._deliver(event)

    def suspend(self) -> None:
        """Stop delivering; events are created and kept."""
        self._is_suspended = True

    def resume(self) -> None:
        """Deliver again, beginning with what waits."""
        self._is_suspended = False
        self._wake_up.set()

    def lose_waiting(self) -> int:
        """Give up on all that waits: only `GET /v1/events?delivery_success=false` shows it from now on."""
        with self._lock:
            waiting = self._waiting(set())
            for event in waiting:
                self._mark(event["id"], DROPPED)
            return len(waiting)

    def start(self) -> None:
        """Deliver in the background from now on."""
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="stripe-standin-courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background thread, if there is one."""
        self._is_stopping = True
        self._wake_up.set()
        if self._thread:
            self._thread.join(_TIMEOUT_SECONDS)
            self._thread = None

    def ring(self, event: Json) -> None:
        """Note that there is a new event; called under the stand-in's lock."""
        self._queue[event["id"]] = None
        self._wake_up.set()

    def _run(self) -> None:
        failures = 0
        while True:
            self._wake_up.wait(None if not failures else _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1])
            self._wake_up.clear()
            if self._is_stopping:
                return
            results = self.deliver_now()
            failures = failures + 1 if any(not 200 <= result.status < 300 for result in results) else 0

    def _waiting(self, tried: set[str]) -> list[Json]:
        if self.endpoint is None or self._is_suspended:
            return []
        with self._lock:
            return [self._account.find("event", event_id) for event_id in self._queue if event_id not in tried]

    def _disturbed(self, batch: list[Json]) -> list[tuple[Json, int]]:
        """Return the batch as the faults would have it: which events, in which order, how many times."""
        on_time: list[tuple[Json, int]] = []
        late: list[tuple[Json, int]] = []
        for event in batch:
            fault = self._fault_of(event)
            if fault is WebhookFault.DROPPED:
                self._mark(event["id"], DROPPED)
            elif fault is not WebhookFault.DELAYED:
                place = late if fault is WebhookFault.REORDERED else on_time
                place.append((event, 2 if fault is WebhookFault.DUPLICATED else 1))
        return on_time + late[::-1]

    def _fault_of(self, event: Json) -> WebhookFault | None:
        with self._lock:
            is_scripted, fault = self._script.next_webhook_fault(event["type"])
            return fault if is_scripted or self._faults is None else self._faults.next_webhook_fault()

    def _deliver(self, event: Json) -> Delivery:
        body = json.dumps(event).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (stand-in)",
            "Stripe-Signature": sign(body, self.secret, int(self.signing_time())),
        }
        try:
            status = self._post(body, headers)
        except Exception as error:  # noqa: BLE001 - whatever the endpoint does, the event stays undelivered
            logger.warning("webhook %s not delivered: %s", event["type"], type(error).__name__)
            status = 0
        self._mark(event["id"], DELIVERED if 200 <= status < 300 else FAILED)
        return Delivery(event["id"], event["type"], status)

    def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        if self.endpoint is None:
            return 0
        if callable(self.endpoint):
            return self.endpoint(body, headers)
        request = urllib.request.Request(self.endpoint, body, dict(headers), method="POST")  # noqa: S310 - loopback
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def _mark(self, event_id: str, state: str) -> None:
        with self._lock:
            row = self._account.find("delivery", event_id)
            event = self._account.find("event", event_id)
            # An event once acknowledged stays so, also when a second delivery fails.
            row["state"] = DELIVERED if DELIVERED in (state, row["state"]) else state
            row["attempts"] += 1
            if row["state"] != FAILED:
                self._queue.pop(event_id, None)
            event["pending_webhooks"] = 0 if row["state"] == DELIVERED else 1
            self._account.state.save("delivery", row)
            self._account.save(event)
            self._account.state.commit()


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return the `Stripe-Signature` header: https://docs.stripe.com/webhooks#verify-manually."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


# Proxies of the environment must not see webhooks that go to this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
