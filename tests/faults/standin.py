"""The stand-in as a process of its own, with faults drawn from a seed; and the way to look at it from here.

`python -m tests.faults.standin --seed N [--webhook-url URL]` prints its address and serves until it is ended.
"""

import argparse
import inspect
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sandbox.stripe_standin import Fault, Faults, StripeStandIn, WebhookFault
from sandbox.stripe_standin.dashboard import Dashboard
from sandbox.stripe_standin.errors import StripeFailure
from tests.faults.shifted import seconds

API_KEY, WEBHOOK_SECRET = "sk_test_stand_in", "whsec_test_current"  # those of tests/settings.py
# All of it passes by itself. What Stripe says wrongly needs a person, and has tests of its own.
RATES = {
    Fault.RATE_LIMITED: 0.02,
    Fault.CONFLICT: 0.01,
    Fault.KEY_IN_USE: 0.01,
    Fault.UNAVAILABLE: 0.02,
    Fault.HANG_BEFORE_COMMIT: 0.02,
    Fault.ERROR_BEFORE_COMMIT: 0.02,
    Fault.ERROR_AFTER_COMMIT: 0.03,
    Fault.HANG_AFTER_COMMIT: 0.03,
    Fault.MALFORMED_BODY: 0.01,
}
WEBHOOK_RATES = {
    WebhookFault.DROPPED: 0.1, WebhookFault.DUPLICATED: 0.2, WebhookFault.REORDERED: 0.2, WebhookFault.DELAYED: 0.1,
}  # fmt: skip
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SIGNATURES = {name: inspect.signature(act) for name, act in vars(Dashboard).items() if inspect.isfunction(act)}


class RemoteStripe:
    """A stand-in in another process, with the part of its face that scenes and the checker look at."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.dashboard = _RemoteDashboard(self)

    def call(self, name: str, **arguments: Any) -> Any:
        body = json.dumps(arguments).encode()
        request = urllib.request.Request(f"{self.base_url}/_standin/{name}", body, method="POST")
        try:
            with _OPENER.open(request, timeout=30) as answer:
                return json.loads(answer.read())["result"]
        except urllib.error.HTTPError as error:
            raise StripeFailure(error.code, json.loads(error.read())["error"]) from None

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return self.call("objects", kind=kind)

    def get(self, kind: str, object_id: str) -> dict[str, Any]:
        return self.call("get", kind=kind, object_id=object_id)

    def all_bytes(self) -> bytes:
        sent = self.call("requests")
        return "\n".join(f"{method} {target}\n{body}" for method, target, body in sent).encode("latin-1")

    def set_faults(self, *, enabled: bool) -> None:
        self.call("set_faults", enabled=enabled)


class _RemoteDashboard:
    def __init__(self, stripe: RemoteStripe) -> None:
        self._stripe = stripe

    def __getattr__(self, name: str) -> Any:
        def act(*values: Any, **named: Any) -> Any:
            arguments = _SIGNATURES[name].bind(None, *values, **named).arguments
            del arguments["self"]
            return self._stripe.call(name, **{key: _plain(value) for key, value in arguments.items()})

        return act


def _plain(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, datetime) else value


@contextmanager
def stripe_process(seed: int, *, webhook_url: str = "", clock: str = "") -> Iterator[RemoteStripe]:
    """Run a stand-in whose faults follow the seed; `clock` names a file that shifts its time (shifted.py)."""
    command = [sys.executable, "-m", "tests.faults.standin", "--seed", str(seed), "--webhook-url", webhook_url]
    process = subprocess.Popen([*command, "--clock", clock], stdout=subprocess.PIPE, text=True)
    try:
        yield RemoteStripe(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--webhook-url", default="")
    parser.add_argument("--clock", default="")
    options = parser.parse_args()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with StripeStandIn(
        api_keys={API_KEY}, webhook_url=options.webhook_url or None, webhook_secret=WEBHOOK_SECRET,
        faults=Faults(options.seed, RATES, WEBHOOK_RATES, on_reads=True),
    ) as standin:  # fmt: skip
        if options.clock:
            standin.clock.now = lambda: int(time.time() + seconds(options.clock))
            standin.courier.signing_time = lambda: time.time() + seconds(options.clock)
        sys.stdout.write(f"{standin.base_url}\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
