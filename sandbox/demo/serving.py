"""Open the console and the API on loopback, with the local Stripe behind them, until somebody presses Ctrl-C.

Everything runs in this one process and in real time: the application in threads of Django's own server, the stand-in
in its threads, and a sweep that does what workers and beat do elsewhere.
"""

import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.utils import timezone

from billing import delivery, stripe_events
from billing.models import Role, StaffDevice
from billing.models.staff import STEP
from billing.payment_status import refresh_past_due
from billing.reconciliation import asked
from billing.staff_accounts import AccountExists, create_staff_account, reset_staff_device, set_staff_roles
from billing.staff_devices import confirm_device, secret_of
from offices.models import Office
from sandbox.demo.codes import next_code
from sandbox.demo.stage import WEBHOOK_PATH
from sandbox.stripe_standin import StripeStandIn

logger = structlog.get_logger(__name__)

LOOPBACK = "127.0.0.1"
PORTS_TRIED = 50  # from the wanted one upwards
MOMENT_SECONDS = 5  # more than it takes to judge a code
SWEEP_SECONDS = 2.0  # a person who has pressed a button waits about so long
OFFICE = "clinic-002"
# Two people, since some things need a second one. Neither is a superuser: no daily work needs one.
PEOPLE: Mapping[str, tuple[Role, ...]] = {
    "demo": tuple(role for role in Role if role != Role.APPROVER),
    "demo-approver": (Role.APPROVER,),
}


class NoPortFree(Exception):
    """None of the ports from the wanted one upwards is free."""


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """One log-in: `secret` is what an app for codes takes, `code` what it would show now."""

    username: str
    password: str
    code: str
    secret: str


@dataclass(frozen=True, slots=True)
class Access:
    """What a person needs to look around. Passwords, secrets and the key are new at every start and nowhere else."""

    people: tuple["DemoPerson", ...]
    office_id: str
    api_key: str | None


def grant_access() -> Access:
    """Give the demo's staff accounts new passwords and devices, and one office a new API key."""
    people = tuple(_let_in(username, roles, now=timezone.now()) for username, roles in PEOPLE.items())
    office = Office.objects.get(reference=OFFICE)
    return Access(people, str(office.pk), _api_key(office))


def _let_in(username: str, roles: tuple[Role, ...], *, now: datetime) -> DemoPerson:
    """Enrol the person as the console would, with a code of the device that is made here."""
    actor = "command:demo"
    try:
        create_staff_account(username=username, roles=roles, actor=actor, now=now)
    except AccountExists:
        set_staff_roles(username=username, roles=roles, actor=actor, now=now)
        reset_staff_device(username=username, reason="the demo starts anew", actor=actor, now=now)
    password = secrets.token_urlsafe(15)
    device = StaffDevice.objects.get(user__username=username)
    # To hash a password takes a while: the code must be one of now, not of when that began.
    now = timezone.now()
    code = device.code_at(_step_before(now))
    device, _codes = confirm_device(user_id=device.user_id, password=password, code=code, now=now)
    return DemoPerson(username, password, next_code(username, now=now), secret_of(device, username).text)


def _step_before(now: datetime) -> int:
    """Return the step before the present one, so that the codes a person uses first are still to come.

    A few seconds before the present step ends it is this one: the older would be refused if the step ended meanwhile.
    """
    return int(now.timestamp() + MOMENT_SECONDS) // STEP - 1


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
    """Do once what the workers do all the time: deliver, receive, compare where asked, see who is past due."""
    delivery.deliver_due(clock=timezone.now)
    stripe_events.process_due(clock=timezone.now)
    asked.go_on(clock=timezone.now, until=timezone.now() + timedelta(seconds=SWEEP_SECONDS))
    refresh_past_due(now=timezone.now())
