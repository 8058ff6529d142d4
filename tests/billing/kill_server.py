"""A warm worker process that dies on command: it forks for each order, and the child kills itself at a fail point.

One order is one line of JSON on stdin, one answer one line on stdout: the signal that ended the child, and the fail
points it had reached by then. The parent never opens a database connection, so that no two children share one.
"""

import json
import os
import signal
import sys
from datetime import datetime
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402 - after setup
from django.db import connection  # noqa: E402

from billing import billing_run, delivery, fail_points, stripe_events  # noqa: E402

ACTOR = "test"


def act(order: dict[str, Any]) -> None:
    """Do the one thing that is ordered, as a worker would."""
    now = datetime.fromisoformat(order["at"])
    if order["act"] == "run":
        billing_run.run_due(as_of=now, actor=ACTOR, now=now)
    elif order["act"] == "deliver":
        delivery.deliver_due(clock=lambda: now)
    else:
        stripe_events.process_due(clock=lambda: now)


def child(order: dict[str, Any], answer: int) -> None:
    """Work until the ordered hit of the ordered point, and die there without a chance to tidy up."""
    settings.STRIPE_API_BASE = order["stripe"]
    hits = 0

    def hook(point: fail_points.FailPoint) -> None:
        nonlocal hits
        os.write(answer, f"{point}\n".encode())
        hits += point == order["point"]
        if point == order["point"] and hits == order["hit"]:
            os.kill(os.getpid(), signal.SIGKILL)

    fail_points.install(hook)
    act(order)
    connection.close()


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, and tell what became of the child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 1
        try:
            child(order, writing)
            code = 0
        finally:
            if code:
                sys.excepthook(*sys.exc_info())
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as points:
        reached = points.read().split()
    _, status = os.waitpid(pid, 0)
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
    return {"killed_by": killed_by, "code": code, "reached": reached}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(obey(json.loads(line))) + "\n")
        sys.stdout.flush()
