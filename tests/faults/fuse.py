"""What goes off inside a worker: it dies, stops, or loses its connection at a counted place.

Places are counted, not timed, so that the same order ends at the same place again: named fail points, SQL statements,
commits and requests to Stripe, each before or after. `moment` is the one that is timed: milliseconds from the start.
"""

import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import urllib3.connectionpool
from django.db import connection

from billing import fail_points

SECONDS_TO_LINGER = 0.4  # for others to come by meanwhile
IN_FLIGHT_SECONDS = 0.05  # then the request has left, and a late Stripe (`Fault.LATE`) has not answered


class Fuse:
    """Counts every place that the worker comes by, tells the fail points, and goes off at the ordered one.

    `plan`: `kind` (point, statement, commit, request, write, moment), `hit` from 1 on, `side` (before, after; of a
    commit `lost`, of a write `during`), `point` for a named one, and `end`: kill, stop or linger.
    """

    def __init__(self, plan: dict[str, Any], tell: Callable[[str], None], stripe: str) -> None:
        self.plan, self.tell, self.stripe = plan, tell, stripe
        self.counts: Counter[str] = Counter()

    def install_points(self) -> None:
        """Watch the named fail points alone: what a program with several connections can be given."""
        fail_points.install(self._at_point)

    def install(self) -> None:
        self.install_points()
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
                commit()  # fails as it does when the answer to COMMIT is lost

        connection.commit = counted

    def _wrap_requests(self) -> None:
        pool = urllib3.connectionpool.HTTPConnectionPool
        send = pool.urlopen

        def counted(own: Any, method: str, url: str, *values: Any, **named: Any) -> Any:
            self._come_by("request", "before")
            self.counts["write"] += method == "POST"
            if method == "POST" and self._is_here("write", "during"):
                _make_late(self.stripe, f"{method} {url}")
                _die_in(IN_FLIGHT_SECONDS)
            answer = send(own, method, url, *values, **named)
            self._come_by("request", "after")
            return answer

        pool.urlopen = counted

    def _come_by(self, kind: str, side: str, name: str = "") -> None:
        if side == "before":
            self.counts[name or kind] += 1
        if self._is_here(kind, side, name):
            self._go_off()

    def _go_off(self) -> None:
        end = self.plan.get("end", "kill")
        if end == "linger":
            time.sleep(SECONDS_TO_LINGER)
        else:
            os.kill(os.getpid(), signal.SIGSTOP if end == "stop" else signal.SIGKILL)

    def _is_here(self, kind: str, side: str, name: str = "") -> bool:
        plan = self.plan
        if (plan.get("kind"), plan.get("point") or "") != (kind, name) or self.counts[name or kind] != plan["hit"]:
            return False
        return kind == "point" or plan["side"] == side


def _die_in(seconds: float) -> None:
    """Die then, whatever is going on: the default action of the alarm ends a process as a kill does."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


def _make_late(stripe: str, target: str) -> None:
    """Let Stripe act on this request only when somebody says so, long after we are dead."""
    body = json.dumps({"target": target, "steps": ["LATE"]}).encode()
    request = urllib.request.Request(f"{stripe}/_standin/script", body, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
