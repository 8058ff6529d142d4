"""The stand-in as a whole: start it, point a Stripe client at `base_url`, look at what arrived."""

import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.stripe_standin import controls, hosted_page
from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.api import HANG_UP, Api, Reply
from sandbox.stripe_standin.clock import Clock
from sandbox.stripe_standin.dashboard import Dashboard
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.faults import Fault, Faults, Script, WebhookFault
from sandbox.stripe_standin.idempotency import KeyRing
from sandbox.stripe_standin.recorder import RawRequest, Recorder
from sandbox.stripe_standin.server import StandInServer
from sandbox.stripe_standin.state import State
from sandbox.stripe_standin.webhooks import Courier, Delivery, Endpoint

DEFAULT_API_KEY = "sk_test_stand_in"
DEFAULT_WEBHOOK_SECRET = "whsec_test_stand_in"  # noqa: S105 - opens nothing but this stand-in


class StripeStandIn:
    """A Stripe account on this machine.

    `webhook_url` is a URL or a callable `(body, headers) -> status`; with `background_delivery` a thread delivers
    to it, otherwise events wait for `deliver_now()`. A URL is delivered to in the background unless told otherwise.
    """

    def __init__(
        self,
        *,
        api_keys: Collection[str] = (DEFAULT_API_KEY,),
        webhook_url: Endpoint | None = None,
        webhook_secret: str = DEFAULT_WEBHOOK_SECRET,
        background_delivery: bool | None = None,
        state_path: Path | str | None = None,
        faults: Faults | None = None,
        default_card: str = "succeeds",
        port: int = 0,
    ) -> None:
        self._lock = threading.RLock()
        self._script, self._recorder = Script(), Recorder()
        self._state = State(Path(state_path) if state_path else None)
        self.clock, self.faults = Clock(), faults
        self._account = Account(self._state, self.clock, default_card)
        keys = KeyRing(self._account)
        self._api = Api(self._account, keys, frozenset(api_keys), self._recorder, self._script, faults, self._lock)
        self.dashboard = Dashboard(self._account, self._lock, keys)
        self.courier = Courier(self._account, self._lock, self._script, faults)
        self.courier.endpoint, self.courier.secret = webhook_url, webhook_secret
        self._account.on_event = self.courier.ring
        self._in_background = isinstance(webhook_url, str) if background_delivery is None else background_delivery
        self._is_down, self._port = False, port
        self._server: StandInServer | None = None
        self._controls = self._published_controls()
        self._restore_clock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    # Running

    def start(self) -> str:
        """Listen, and return the address; after `stop` it is the same one."""
        self._server = StandInServer(self._port, self._answer)
        self._port = self._server.server_address[1]
        self._account.base_url = self._server.base_url
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        if self._in_background:
            self.courier.start()
        return self._server.base_url

    def stop(self) -> None:
        """Stop listening and cut all connections: Stripe is unreachable, its state is kept."""
        self._script.released.set()
        if self._server:
            self._server.close()
            self._server = None
        self.courier.stop()

    def close(self) -> None:
        """Stop, and let go of the state file."""
        self.stop()
        with self._lock:
            self._state.close()

    @property
    def base_url(self) -> str:
        """The address for `base_addresses={"api": ...}`."""
        return self._account.base_url

    def go_down(self) -> None:
        """Answer nothing: every connection is closed without a reply, and nothing runs."""
        self._is_down = True

    def come_back(self) -> None:
        """Answer again."""
        self._is_down = False

    # Looking

    @property
    def requests(self) -> tuple[RawRequest, ...]:
        """Every API request so far, byte for byte."""
        return self._recorder.requests

    def all_bytes(self) -> bytes:
        """Return every byte that API clients sent."""
        return self._recorder.all_bytes()

    def distinct_descriptions(self) -> set[str]:
        """Return the different descriptions sent, at any depth."""
        return self._recorder.values("description")

    def distinct_values(self, name: str) -> set[str]:
        """Return the different values of any other parameter, at any depth."""
        return self._recorder.values(name)

    def counts(self) -> Mapping[str, int]:
        """Return the number of requests per route, such as `POST /v1/invoices/{id}/finalize`."""
        return self._recorder.counts()

    def writes(self) -> int:
        """Return how many POST and DELETE requests arrived."""
        return sum(count for label, count in self.counts().items() if not label.startswith("GET"))

    def forget_requests(self) -> None:
        """Start counting anew."""
        self._recorder.clear()

    def objects(self, kind: str) -> list[Json]:
        """Return copies of all objects of a kind (`invoice`, `charge`, `event`, ...), oldest first."""
        with self._lock:
            rows: list[Json] = json.loads(json.dumps(list(self._state.tables[kind].oldest_first())))
        return rows

    def get(self, kind: str, object_id: str) -> Json:
        """Return a copy of one object; raises the 404 when there is none."""
        with self._lock:
            row: Json = json.loads(json.dumps(self._account.find(kind, object_id)))
        return row

    # Going wrong

    def script(self, target: str, steps: Iterable[Fault | None]) -> None:
        """Let the next requests of a route or path go wrong in this order; None runs normally."""
        with self._lock:
            self._script.released.clear()
            self._script.add(target, steps)

    def script_webhooks(self, event_type: str, steps: Iterable[WebhookFault | None]) -> None:
        """Let the next deliveries of an event type go wrong in this order."""
        with self._lock:
            self._script.add_webhooks(event_type, steps)

    def left_over(self) -> dict[str, int]:
        """Return the scripted steps nobody consumed."""
        with self._lock:
            return self._script.left_over()

    def set_faults(self, *, enabled: bool) -> None:
        """Let the drawn faults happen, or nothing go wrong any more; does nothing where none are drawn."""
        if self.faults is not None:
            self.faults.enabled = enabled

    def release(self) -> None:
        """Let replies go that `Fault.HOLD` holds back."""
        self._script.released.set()

    # Webhooks

    def set_webhook(self, endpoint: Endpoint | None, secret: str | None = None) -> None:
        """Point deliveries somewhere else."""
        self.courier.endpoint = endpoint
        self.courier.secret = secret or self.courier.secret

    def deliver_now(self) -> list[Delivery]:
        """Deliver all waiting events in this thread."""
        return self.courier.deliver_now()

    def undelivered(self) -> list[Json]:
        """Return the events the endpoint has not acknowledged."""
        return self.courier.undelivered()

    # Answering

    def _answer(self, request: RawRequest) -> Reply:
        if self._is_down and not request.path.startswith(controls.PREFIX):
            return HANG_UP
        if request.path.startswith(controls.PREFIX):
            return controls.answer_control(self._controls, request)
        if request.path.startswith(hosted_page.PREFIX):
            return hosted_page.answer_hosted_page(self._account, self.dashboard, request)
        return self._api.handle(request)

    def _restore_clock(self) -> None:
        saved = self._account.setting("clock")
        self.clock.set(int(saved) if saved else None)

    def _published_controls(self) -> dict[str, Callable[..., Any]]:
        people = {name: getattr(self.dashboard, name) for name in dir(self.dashboard) if not name.startswith("_")}
        names = (
            "objects",
            "get",
            "counts",
            "deliver_now",
            "undelivered",
            "go_down",
            "come_back",
            "release",
            "left_over",
            "set_faults",
        )
        return {
            **people,
            **{name: getattr(self, name) for name in names},
            "distinct_descriptions": lambda: sorted(self.distinct_descriptions()),
            "requests": lambda: [(row.method, row.target, row.body.decode("latin-1")) for row in self.requests],
            "script": lambda target, steps: self.script(target, [Fault[step] if step else None for step in steps]),
            "suspend_webhooks": self.courier.suspend,
            "resume_webhooks": self.courier.resume,
            "lose_webhooks": self.courier.lose_waiting,
            "redeliver": self.courier.redeliver,
        }
