"""PostgreSQL dies where it stands, in the middle of what two workers do, and comes back from its log."""

import time

from django.db import connection

from tests.faults.draws import Order
from tests.faults.kills import KillRun, Tally
from tests.faults.must_hold import surfaced

# What a worker may say when its database is gone; all it leaves behind is work for the next one.
LOST = ("OperationalError", "InterfaceError", "AdminShutdown", "DatabaseError")
LONGEST_HEAD_START = 0.6  # seconds of work before the database goes


class RestartRun(KillRun):
    """One world lived through with immediate restarts of the database."""

    def live(self) -> Tally:
        for _ in range(self.wanted):
            self.pass_time()
            self.people_pay()
            self.post()
            errors = self.restart_meanwhile(self._living(), self._living())
            self.tally.kills += 1
            self.check(errors)
        self.settle()
        return self.tally

    def _living(self) -> Order:
        return self.draws.order(self.world.clock.at) | {"plan": {}}

    def restart_meanwhile(self, *orders: Order) -> list[str]:
        """Return the errors that are more than a lost connection."""
        for number, order in enumerate(orders):
            self.world.order(number, **order)
        time.sleep(self.source.random() * LONGEST_HEAD_START)
        connection.close()
        self.world.cluster.restart_immediately()
        answers = [worker.answer() for worker in self.world.workers]
        for order, answer in zip(orders, answers, strict=True):
            self.note(order, answer)
        self.told.append("PostgreSQL restarted")
        return [error for answer in answers for error in surfaced(answer) if not error.startswith(LOST)]
