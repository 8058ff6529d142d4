"""Order work from processes that may be killed."""

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from billing.fail_points import FailPoint

KILLS = {9, 14}  # SIGKILL, and the alarm whose default action ends a process in the same way


class WorkerGone(Exception):
    """The warm process itself ended."""


class Workers:
    """A warm process that forks a worker for each order; two of these work at once."""

    def __init__(self, stripe: Any) -> None:
        self.stripe = stripe
        self.always: dict[str, Any] = {}  # what goes with each order
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.kill_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=settings.BASE_DIR,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": present_database()},
        )

    def work(self, act: str, at: datetime, *, point: FailPoint | None = None, hit: int = 1) -> dict[str, Any]:
        """Let a new process do `act`; it dies at the n-th hit of `point`."""
        plan = {"kind": "point", "point": point, "hit": hit} if point else {}
        self.order(act, at, plan=plan)
        return self.answer()

    def kill(self, act: str, at: datetime, point: FailPoint, hit: int = 1) -> None:
        answer = self.work(act, at, point=point, hit=hit)
        assert answer["killed_by"] in KILLS, answer

    def order(self, act: str, at: datetime, **more: Any) -> None:
        """Send an order; the answer comes when the worker has ended."""
        order = {"act": act, "at": at.isoformat(), "stripe": self.stripe.base_url, **self.always, **more}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()

    def answer(self) -> dict[str, Any]:
        line = self.server.stdout.readline()
        if not line:
            raise WorkerGone("the warm process ended")
        return json.loads(line)

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait(10)
        self.server.stdout.close()


def present_database() -> str:
    """Return the database of the present connection as a DATABASE_URL."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    login = f"{values['USER']}:{values['PASSWORD']}".rstrip(":")
    return f"postgres://{login}@{values['HOST']}:{values['PORT'] or 5432}/{values['NAME']}"
