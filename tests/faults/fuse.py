"""What goes off inside a worker: it dies, stops, or loses its connection at a counted place.

Places are counted, not timed, so that the same order ends at the same place again: named fail points, SQL statements,
commits and requests to Stripe, each before or after. `moment` is the one that is timed: milliseconds from the start.
"""

import json
import os
import signal
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import urllib3.connectionpool
from django.db import OperationalError, connection

from billing import fail_points

IN_FLIGHT_SECONDS = 0.05  # after the request has left, long before a late Stripe acts on it (`Fault.LATE`)


class Fuse:
    """Counts every place that the worker comes by, tells the fail points, and goes off at the ordered one.

    `plan`: `kind` (point, statement, commit, request, moment), `hit` from 1 on, `side` (before, after; of a commit
    `lost`, of a request `during`), `point` for a named one, and `end`: kill or stop.
    """

    def __init__(self, plan: dict[str, Any], tell: Callable[[str], None], stripe: str) -> None:
        self.plan, self.tell, self.stripe = plan, tell, stripe
        self.counts: Counter[str] = Counter()

    def install(self) -> None:
        fail_points.install(self._at_point)
        connection.execute_wrappers.append(self._statement)
        self._wrap_commit()
        self._wrap_requests()
        if self.plan.get("kind") == "moment":
            _die_in(self.plan["hit"] / 1000)

    def _at_point(self, point: fail_points.FailPoint) -> None:
        self.tell(str(point))
        self._come_by("point", "before", name=str(point))

    def _statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._come_by("statement", "before")
        result = execute(sql, params, many, context)
        self._come_by("statement", "after")
        return result

    def _wrap_commit(self) -> None:
        commit = connection.commit

        def counted() -> None:
            self._come_by("commit", "before")
            commit()
            self._come_by("commit", "after")
            if self._is_here("commit", "lost"):
                connection.connection.close()
                raise OperationalError("the connection was lost at COMMIT")

        connection.commit = counted

    def _wrap_requests(self) -> None:
        pool = urllib3.connectionpool.HTTPConnectionPool
        send = pool.urlopen

        def counted(*values: Any, **named: Any) -> Any:
            self._come_by("request", "before")
            if self._is_here("request", "during"):
                _make_late(self.stripe)
                _die_in(IN_FLIGHT_SECONDS)
            answer = send(*values, **named)
            self._come_by("request", "after")
            return answer

        pool.urlopen = counted

    def _come_by(self, kind: str, side: str, name: str = "") -> None:
        if side == "before":
            self.counts[name or kind] += 1
        if self._is_here(kind, side, name):
            os.kill(os.getpid(), signal.SIGSTOP if self.plan.get("end") == "stop" else signal.SIGKILL)

    def _is_here(self, kind: str, side: str, name: str = "") -> bool:
        plan = self.plan
        if (plan.get("kind"), plan.get("point") or "") != (kind, name) or self.counts[name or kind] != plan["hit"]:
            return False
        return kind == "point" or plan["side"] == side


def _die_in(seconds: float) -> None:
    """Die then, whatever is going on: the default action of the alarm ends a process as a kill does."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


def _make_late(stripe: str) -> None:
    """Let Stripe act on the next request only after we are dead."""
    body = json.dumps({"target": "*", "steps": ["LATE"]}).encode()
    request = urllib.request.Request(f"{stripe}/_standin/script", body, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
