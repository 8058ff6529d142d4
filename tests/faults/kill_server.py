"""A warm worker process that dies on command: it forks for each order, and the child kills itself where it is told.

One order is one line of JSON on stdin, one answer one line on stdout: the signal that ended the child, the fail points
it had reached by then, what came of it. The parent never opens a database connection, so that no two children share
one when they fork. A child that stops answers too; the order `go_on` lets it run to its end, and `warm` lets the
parent itself do some acts once in a scratch database: what they load and compile then is there for every child.
"""

import gc
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import django

django.setup()

from django.conf import settings  # noqa: E402 - after setup
from django.db import connection  # noqa: E402

from audit.checkpoints import make_checkpoint  # noqa: E402
from billing import (  # noqa: E402
    activation,
    billing_run,
    canary,
    charges,
    delivery,
    event_replay,
    silence,
    stripe_connection,
    stripe_events,
)
from billing.models import ChargeReason  # noqa: E402
from offices.locking import OfficeBusy  # noqa: E402
from tests.faults.fuse import Fuse  # noqa: E402
from tests.mutants.apply import apply  # noqa: E402

ACTOR = "test"
# What a caller is told, and no fault: the office is held, the act was done before, the times do not fit.
REFUSALS = (OfficeBusy, activation.PeriodsOverlap, activation.PeriodEmpty, charges.SetupFeeAlreadyCharged)


def _patient(use_case: Callable[..., object], order: dict[str, Any], now: datetime) -> None:
    at = {name: datetime.fromisoformat(order[name]) for name in ("activated_at",) if name in order}
    use_case(office_id=UUID(order["office"]), patient_id=UUID(order["patient"]), actor=ACTOR, now=now, **at)


def _charge(order: dict[str, Any], now: datetime) -> None:
    charge = charges.Charge(ChargeReason.TRAINING, amount_cents=order["cents"])
    charges.charge_office(office_id=UUID(order["office"]), charge=charge, actor=ACTOR, now=now)


def _clock(order: dict[str, Any]) -> Callable[[], datetime]:
    """The time of the order, or what the shared file says now: it may jump while a worker is at work."""
    shared = Path(order["clock"]) if "clock" in order else None
    return lambda: datetime.fromisoformat(shared.read_text() if shared else order["at"])


ACTS: dict[str, Callable[[dict[str, Any], datetime], object]] = {
    "run": lambda _order, now: billing_run.run_due(as_of=now, actor=ACTOR, now=now),
    "deliver": lambda order, _now: delivery.deliver_due(clock=_clock(order)),
    "events": lambda order, _now: stripe_events.process_due(clock=_clock(order)),
    "replay": lambda order, _now: event_replay.replay_events(since=None, actor=ACTOR, clock=_clock(order)),
    "silence": lambda order, _now: silence.notice_silence(clock=_clock(order)),
    "checkpoint": lambda _order, now: make_checkpoint(now=now),
    "canary": lambda _order, now: canary.run_canary(actor=ACTOR, now=now),
    "activate": lambda order, now: _patient(activation.activate_patient, order, now),
    "deactivate": lambda order, now: _patient(activation.deactivate_patient, order, now),
    "charge": _charge,
}


def enter(order: dict[str, Any]) -> None:
    """Point the settings at the database and the Stripe of the order."""
    settings.STRIPE_API_BASE = order["stripe"]
    if "database" in order:
        settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = order["database"]


def warm(order: dict[str, Any]) -> None:
    """Do it all once here, and leave no connection behind."""
    enter(order)
    for act in ("run", "deliver", "events", "checkpoint"):
        ACTS[act](order, datetime.fromisoformat(order["at"]))
    stripe_connection._gateway.cache_clear()
    connection.close()


def child(order: dict[str, Any], answer: int) -> None:
    """Work until the ordered place, and die there without a chance to tidy up."""
    enter(order)
    random.seed(order.get("seed"))  # the jitter of back-offs
    for module, source in order.get("sources", {}).items():
        apply(module, source)
    fuse = Fuse(order.get("plan", {}), lambda point: _write(answer, point), order["stripe"])
    fuse.install()
    try:
        ACTS[order["act"]](order, datetime.fromisoformat(order["at"]))
    except REFUSALS as refusal:
        _write(answer, f"!refused {type(refusal).__name__}")
    _write(answer, f"!counts {json.dumps(fuse.counts)}")
    connection.close()


def _write(answer: int, line: str) -> None:
    os.write(answer, f"{line}\n".encode())


class Server:
    """Obeys orders; knows the children that stand still."""

    def __init__(self) -> None:
        self.stopped: tuple[int, int] | None = None

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Fork, wait, and tell what became of the child; or let the one that stands still go on."""
        if order["act"] == "warm":
            warm(order)
            gc.collect()
            gc.freeze()  # the children then copy fewer pages
            return {}
        if order["act"] == "go_on":
            pid, reading = self.stopped
            self.stopped = None
            os.kill(pid, signal.SIGCONT)
            return self._wait(pid, reading)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _live(order, writing)
        os.close(writing)
        return self._wait(pid, reading)

    def _wait(self, pid: int, reading: int) -> dict[str, Any]:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            self.stopped = pid, reading
            return {"stopped": True, "killed_by": 0, "code": 0, "reached": []}
        with os.fdopen(reading) as told:
            lines = told.read().splitlines()
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        said = dict(line[1:].split(" ", 1) for line in lines if line.startswith("!"))
        reached = [line for line in lines if not line.startswith("!")]
        return {"killed_by": killed_by, "code": code, "reached": reached, **said}


def _live(order: dict[str, Any], answer: int) -> None:
    """Be the child, to its end."""
    code = 1
    try:
        child(order, answer)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the answer tells it and the child ends
        _write(answer, f"!error {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if not order.get("quiet"):
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(code)


if __name__ == "__main__":
    server = Server()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(server.obey(json.loads(line))) + "\n")
        sys.stdout.flush()
