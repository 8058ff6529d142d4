"""The product as it runs in production: a web process, two workers, two beats, Redis, and something breaks.

Nobody helps but a supervisor that starts again what died, as systemd does. How long it takes until nothing waits any
more is measured; a minute is what may pass (reliability.md).
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from billing.charges import Charge, charge_office
from billing.models import ChargeReason, EventStatus, MessageStatus, OutboxMessage, OutboxStep, StripeEvent
from billing.run_chunk import due_offices
from billing_project.celery import app
from offices.models import Office
from tests.billing.scenes import CLOSED_AT, OPENED_AT
from tests.builders import ACTOR
from tests.faults import shifted
from tests.faults.must_hold import Broken, at_rest, waits
from tests.faults.services import free_port, wait_until
from tests.faults.standin import stripe_process
from tests.faults.telling import Telling
from tests.faults.worlds import DUE, Workshop, enter
from tests.invariants import Violation

CONTINUES_WITHIN = 60.0  # seconds
PATIENCE = 150.0  # seconds: what takes longer than a minute is still measured
WORKERS, BEATS = ("worker-1", "worker-2"), ("beat-1", "beat-2")
A_MONTH = 31 * 86_400.0
SECONDS_BETWEEN_STARTS = 1.0


class TimeShift:
    """By how much the clocks of all processes, and this one's, are ahead of the wall's."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds = path, 0.0
        self.jump((OPENED_AT - timezone.now()).total_seconds())

    def jump(self, seconds: float) -> None:
        self.seconds += seconds
        new = self.path.with_suffix(".new")
        new.write_text(str(self.seconds))
        new.rename(self.path)


@dataclass
class Machines:
    """The processes; each is started again when it dies, until the end."""

    folder: Path
    environment: dict[str, str]
    web_port: int
    running: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self, name: str, plan: dict[str, object] | None = None) -> None:
        environment = self.environment | ({"FAULTS_PLAN": json.dumps(plan)} if plan else {})
        command = [sys.executable, "-m", "tests.faults.shifted", *self._program(name)]
        self.running[name] = subprocess.Popen(
            command, env=environment, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(self.folder / f"{name}.log").open("ab"),
        )  # fmt: skip

    def _program(self, name: str) -> list[str]:
        if name == "web":
            return [
                "gunicorn",
                "billing_project.wsgi:application",
                "--bind",
                f"127.0.0.1:{self.web_port}",
                "--workers",
                "1",
            ]
        celery = ["celery", "-A", "billing_project"]
        if name in BEATS:
            return [*celery, "beat", "--schedule", str(self.folder / name), "--pidfile=", "--loglevel=ERROR"]
        return [*celery, "worker", "--pool=solo", "--loglevel=ERROR", "-n", f"{name}@faults"]

    def start_again_what_died(self) -> None:
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                time.sleep(SECONDS_BETWEEN_STARTS)
                self.start(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.running[name].send_signal(number)

    def end(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class MachineRoom:
    """One world with everything running, and what may befall it."""

    def __init__(self, shop: Workshop, stripe: object, machines: Machines, shift: TimeShift, name: str) -> None:
        self.shop, self.stripe, self.machines, self.shift, self.name = shop, stripe, machines, shift, name
        self.cluster, self.redis = shop.cluster, shop.redis
        self.collected = 0

    @property
    def clock(self) -> "MachineRoom":
        return self  # `at` is what the checks ask a clock for

    @property
    def at(self) -> object:
        return shifted.now()

    # --- Work ---
    def make_work(self, number: int = 6) -> None:
        """Charge the offices: nobody rings for it, so that the sweeps must find it."""
        offices = list(Office.objects.order_by("reference").values_list("pk", flat=True))
        for each in range(number):
            charge = Charge(ChargeReason.TRAINING, amount_cents=1_000 + each)
            charge_office(office_id=offices[each % len(offices)], charge=charge, actor=ACTOR, now=shifted.now())

    def wait_for_a_step(self) -> None:
        """Return when a worker is in the middle of a message."""
        under_way = OutboxStep.objects.filter(message__status=MessageStatus.LEASED, first_sent_at__isnull=False)
        wait_until(under_way.exists, 40)

    def a_month_goes_by(self) -> None:
        """Time jumps, and both beats call for the monthly run."""
        self.shift.jump(A_MONTH)
        self.ring("run_billing")
        self.ring("run_billing")

    def ring(self, task: str) -> None:
        """Do what beat does at the full hour: by the product's own routes, so that the right queue gets it."""
        with app.connection_for_write(self.redis.url) as connected:
            app.send_task(f"billing.tasks.{task}", connection=connected)

    # --- What befalls it ---
    def worker_dies(self) -> None:
        self.make_work()
        self.wait_for_a_step()
        for worker in WORKERS:
            self.machines.signal(worker, signal.SIGKILL)

    def worker_dies_after_stripe_acted(self) -> None:
        self._both_die_at("delivery.step_sent", self.make_work)

    def worker_dies_in_the_run(self) -> None:
        self._both_die_at("run.lines_inserted", self.a_month_goes_by)

    def _both_die_at(self, point: str, work: Callable[[], None]) -> None:
        """Each worker dies at its first coming by; the ones that follow have no such fate."""
        for worker in WORKERS:
            self.machines.signal(worker, signal.SIGKILL)
            self.machines.running[worker].wait(10)
            self.machines.start(worker, {"kind": "point", "point": point, "hit": 1})
        work()
        died = lambda: any(self.machines.running[worker].poll() is not None for worker in WORKERS)  # noqa: E731
        wait_until(died, 60)

    def database_restarts(self) -> None:
        self.make_work()
        self.wait_for_a_step()
        connection.close()
        self.cluster.restart_immediately()

    def database_restarts_in_the_run(self) -> None:
        self.a_month_goes_by()
        wait_until(lambda: not due_offices(shifted.now()).exists(), 0.3)
        connection.close()
        self.cluster.restart_immediately()

    def redis_is_flushed(self) -> None:
        self.make_work()
        self.wait_for_a_step()
        self.redis.flush()

    def redis_goes_away(self) -> None:
        self.make_work()
        self.redis.kill()
        time.sleep(3)
        self.redis.start()

    def worker_stands_still(self) -> None:
        """Longer than its lease, while time goes on: the other one takes over, then it comes back."""
        self.make_work()
        self.wait_for_a_step()
        self.machines.signal(WORKERS[0], signal.SIGSTOP)
        self.shift.jump(360)
        time.sleep(2)
        self.machines.signal(WORKERS[0], signal.SIGCONT)

    def time_jumps(self) -> None:
        self.a_month_goes_by()
        self.make_work(3)


FAULTS: dict[str, Callable[[MachineRoom], None]] = {
    "two beats and a month": MachineRoom.time_jumps,
    "both workers killed": MachineRoom.worker_dies,
    "killed after Stripe acted": MachineRoom.worker_dies_after_stripe_acted,
    "killed in the monthly run": MachineRoom.worker_dies_in_the_run,
    "PostgreSQL restarted": MachineRoom.database_restarts,
    "PostgreSQL restarted in the run": MachineRoom.database_restarts_in_the_run,
    "Redis flushed": MachineRoom.redis_is_flushed,
    "Redis away for 3 s": MachineRoom.redis_goes_away,
    "a worker stopped past its lease": MachineRoom.worker_stands_still,
}


def everything_runs(shop: Workshop, seed: int, telling: Telling, *, each_alone: bool) -> str:
    """Let each fault befall the running product, alone or all in a row, and measure how long it then needs."""
    faults = FAULTS if each_alone else {"everything in a row": _all_in_a_row}
    measured: dict[str, float] = {}
    with _room(shop, seed) as room:
        for name, befall in faults.items():
            telling.progress(f"machines: {name}")
            measured[name] = _recovery(room, name, befall)
            telling.progress(f"machines: {name}: {measured[name]:.0f} s")
        _judge(room, measured)
    each = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in measured.items())
    return f"nothing waited any more after {max(measured.values()):.0f} s at most, without a person ({each})"


def _all_in_a_row(room: MachineRoom) -> None:
    for befall in FAULTS.values():
        befall(room)
        room.machines.start_again_what_died()


def _recovery(room: MachineRoom, name: str, befall: Callable[[MachineRoom], None]) -> float:
    """Return the seconds from the fault's end until nothing waits."""
    befall(room)
    started = time.monotonic()

    def done() -> bool:
        room.machines.start_again_what_died()
        try:
            return not waits(room)
        except OperationalError:
            connection.close()  # the connection died with the database
            return False

    if not wait_until(done, PATIENCE):
        raise Broken([Violation("recovery", name, f"waits after {PATIENCE:.0f} s: {_left()}")], [name])
    return time.monotonic() - started


def _left() -> str:
    messages = OutboxMessage.objects.exclude(status=MessageStatus.DONE).values_list("status", "error_code")
    events = StripeEvent.objects.filter(status=EventStatus.PENDING).values_list("attempts", "error_code")
    return f"messages {list(messages)}, events {list(events)}, {due_offices(shifted.now()).count()} offices due"


def _judge(room: MachineRoom, measured: dict[str, float]) -> None:
    """What was told late or not at all is asked for; then everything must hold."""
    for task in ("replay_stripe_events", "checkpoint_audit"):
        room.ring(task)
    wait_until(lambda: not waits(room), PATIENCE)
    wait_until(lambda: not at_rest(room), CONTINUES_WITHIN)
    found = at_rest(room)
    slow = {name: seconds for name, seconds in measured.items() if seconds > CONTINUES_WITHIN}
    found += [Violation("recovery", name, f"took {seconds:.0f} s") for name, seconds in slow.items()]
    if found:
        raise Broken(found, list(FAULTS))


@contextmanager
def _room(shop: Workshop, seed: int) -> Iterator[MachineRoom]:
    name, folder, port = f"machines_{seed}", shop.cluster.folder.parent, free_port()
    shop.cluster.copy(DUE, name)
    enter(name)
    shift = TimeShift(folder / "machines.shift")
    os.environ["FAULTS_CLOCK"] = str(shift.path)
    shift.jump((CLOSED_AT - OPENED_AT).total_seconds() / 2)
    with stripe_process(seed, webhook_url=f"http://127.0.0.1:{port}/webhooks/stripe/", clock=str(shift.path)) as stripe:
        stripe.set_faults(enabled=False)  # each of them would add a pause of its own to what is measured
        environment = os.environ | {
            "DATABASE_URL": shop.cluster.url(name), "STRIPE_API_BASE": stripe.base_url,
            "CELERY_BROKER_URL": shop.redis.url,
            "CACHE_URL": shop.redis.url.replace("redis://", "rediscache://"), "STRIPE_RATE_PER_SECOND": "50",
        }  # fmt: skip
        machines = Machines(folder, environment, port)
        try:
            for program in ("web", *WORKERS, *BEATS):
                machines.start(program)
            if not wait_until(lambda: _answers(port), PATIENCE):
                raise Broken([Violation("start", "web", "does not answer")], [])
            yield MachineRoom(shop, stripe, machines, shift, name)
        finally:
            machines.end()
            connection.close()
            shop.cluster.drop(name)


def _answers(port: int) -> bool:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(f"http://127.0.0.1:{port}/healthz", timeout=20).status == 200
    except (urllib.error.URLError, OSError):
        return False
