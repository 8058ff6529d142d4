"""Open the console and the API on loopback, with the local Stripe behind them, until somebody presses Ctrl-C.

Everything runs in this one process and in real time: the application in threads of Django's own server, the stand-in
in its threads, and a sweep that does what workers and beat do elsewhere.
"""

import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.contrib.auth import get_user_model
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.utils import timezone

from billing import delivery, stripe_events
from billing.payment_status import refresh_past_due
from offices.models import Office
from sandbox.demo.stage import WEBHOOK_PATH
from sandbox.stripe_standin import StripeStandIn

logger = structlog.get_logger(__name__)

LOOPBACK = "127.0.0.1"
PORTS_TRIED = 50  # from the wanted one upwards
SWEEP_SECONDS = 2.0  # a person who has pressed a button waits about so long
USERNAME, OFFICE = "demo", "clinic-002"


class NoPortFree(Exception):
    """None of the ports from the wanted one upwards is free."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a person needs to look around. The password and the key are new at every start and nowhere else."""

    username: str
    password: str
    office_id: str
    api_key: str | None


def grant_access() -> Access:
    """Give the demo's staff account a new password, and one office a new API key."""
    users = get_user_model()
    password = secrets.token_urlsafe(15)
    user = users._default_manager.filter(username=USERNAME).first()
    if user is None:
        users._default_manager.create_superuser(username=USERNAME, email=None, password=password)
    else:
        user.set_password(password)
        user.save(update_fields=["password"])
    office = Office.objects.get(reference=OFFICE)
    return Access(USERNAME, password, str(office.pk), _api_key(office))


def _api_key(office: Office) -> str | None:
    try:
        from billing.api_keys import issue_api_key
    except ImportError:
        return None
    _row, key = issue_api_key(office_id=office.pk, name="demo", actor="command:demo", now=timezone.now())
    return str(key)


class QuietHandler(WSGIRequestHandler):
    """Answer without a line for each request: the log says what went wrong, and nothing else."""

    def log_message(self, *_args: object) -> None:
        """Print nothing."""


def listen(port: int) -> ThreadedWSGIServer:
    """Return a server on the wanted port or the next free one; raises NoPortFree."""
    for candidate in range(port, min(port + PORTS_TRIED, 65_536)):
        try:
            server = ThreadedWSGIServer((LOOPBACK, candidate), QuietHandler)
        except OSError:
            continue
        server.set_app(get_wsgi_application())
        return server
    raise NoPortFree(f"no port is free from {port} upwards")


@contextmanager
def running(server: ThreadedWSGIServer, standin: StripeStandIn) -> Iterator[str]:
    """Serve, sweep and let webhooks flow; give the address, and stop everything at the end."""
    address = f"http://{LOOPBACK}:{server.server_address[1]}"
    stopping = threading.Event()
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="demo-server"),
        threading.Thread(target=_sweep_until, args=(stopping,), name="demo-sweep"),
    ]
    standin.dashboard.set_clock(None)
    standin.set_webhook(address + WEBHOOK_PATH)
    standin.courier.start()
    for thread in threads:
        thread.start()
    try:
        yield address
    finally:
        stopping.set()
        standin.courier.stop()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def wait_for_the_end() -> None:
    """Wait until somebody presses Ctrl-C or ends the process."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(0.5):  # a wait without end would not see the signal on every platform
        pass


def _sweep_until(stopping: threading.Event) -> None:
    while not stopping.wait(SWEEP_SECONDS):
        try:
            sweep()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep tries again
            logger.error("sweep_failed", error=type(error))  # noqa: TRY400 - the text could quote values
        finally:
            connections.close_all()


def sweep() -> None:
    """Do once what the workers do all the time: deliver, receive, see who is past due."""
    delivery.deliver_due(clock=timezone.now)
    stripe_events.process_due(clock=timezone.now)
    refresh_past_due(now=timezone.now())
