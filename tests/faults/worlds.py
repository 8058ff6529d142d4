"""A world: one database, one Stripe, two warm workers, a few offices, a clock. Everything in it is drawn from its seed.

Worlds are copies of one prepared database, so that making one costs a tenth of a second.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from billing.activation import activate_patient
from billing.billing_run import run_due
from patients.registration import register_patient
from tests.billing.scenes import CLOSED_AT, OPENED_AT, SharedClock, due_office
from tests.builders import ACTOR
from tests.canary.people import people
from tests.faults.services import Cluster
from tests.faults.standin import RemoteStripe, stripe_process
from tests.faults.workers import Workers

# Databases to copy: as migrated; with offices whose month is open; with that month closed and nothing sent.
EMPTY, DUE, CLOSED = "empty", "due", "closed"
OFFICES, PATIENTS, ACTIVE = 3, 6, 2  # offices, accounts of each, and how many of them are active at first


def prepare(cluster: Cluster) -> None:
    """Make the databases that worlds are copies of."""
    cluster.sql(f'CREATE DATABASE "{EMPTY}"')
    enter(EMPTY)
    call_command("migrate", verbosity=0)
    connection.close()
    cluster.copy(EMPTY, DUE)
    enter(DUE)
    _fill()
    connection.close()
    cluster.copy(DUE, CLOSED)
    enter(CLOSED)
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    connection.close()


def enter(database: str) -> None:
    """Let this process work in that database from now on."""
    connection.close()
    connection.settings_dict["NAME"] = database


def _fill() -> None:
    crowd = iter(people(OFFICES * PATIENTS))
    for _ in range(OFFICES):
        office = due_office()
        for number in range(PATIENTS):
            person = next(crowd)
            identity = person.identity() | {"date_of_birth": person.born}
            registered = register_patient(office_id=office.pk, actor=ACTOR, now=OPENED_AT, **identity)
            if number < ACTIVE:
                activate_patient(office_id=office.pk, patient_id=registered.patient.pk, actor=ACTOR, now=OPENED_AT)


class WorldClock(SharedClock):
    """The one clock: Stripe's, ours, and through a file that of every worker, also of one that is at work."""

    def __init__(self, at: datetime, stripe: RemoteStripe, path: Path) -> None:
        self.path = path
        super().__init__(at, stripe)
        self._show()

    def forward(self, **by: float) -> datetime:
        super().forward(**by)
        self._show()
        return self.at

    def _show(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(self.at.isoformat())
        new.rename(self.path)  # at once: a worker may be reading


class World:
    """What a drill works in."""

    def __init__(self, name: str, seed: int, cluster: Cluster, stripe: RemoteStripe) -> None:
        self.name, self.seed, self.cluster, self.stripe = name, seed, cluster, stripe
        self.draw = random.Random(seed)
        self.clock = WorldClock(OPENED_AT, stripe, cluster.folder.parent / f"{name}.clock")
        self.workers: list[Workers] = []
        self.sources: dict[str, str] = {}

    def order(self, worker: int, act: str, *, at: datetime | None = None, **more: object) -> None:
        """Send a worker an order in this world."""
        self.workers[worker].order(
            act, at or self.clock.at, clock=str(self.clock.path), sources=self.sources, seed=self.draw.random(), **more
        )


class Workshop:
    """The cluster and two warm processes, kept from world to world."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self._number = cluster, 0
        self.workers: list[Workers] = []

    @contextmanager
    def world(self, seed: int, template: str = DUE) -> Iterator[World]:
        """Make a world, and take it away again."""
        self._number += 1
        name = f"world_{self._number}"
        self.cluster.copy(template, name)
        enter(name)
        try:
            with stripe_process(seed) as stripe:
                world = World(name, seed, self.cluster, stripe)
                settings.STRIPE_API_BASE = stripe.base_url  # for what is done here, not by a worker
                if not self.workers:
                    self._start_workers(stripe)
                for worker in self.workers:
                    worker.stripe, worker.always = stripe, {"database": name, "quiet": True}
                world.workers = self.workers
                yield world
        finally:
            connection.close()
            self.cluster.drop(name)

    def _start_workers(self, stripe: RemoteStripe) -> None:
        """Warm each in a scratch world of its own month end."""
        for scratch in ("scratch_1", "scratch_2"):
            self.cluster.copy(DUE, scratch)
            worker = Workers(stripe)
            with stripe_process(0) as scratch_stripe:
                worker.stripe = scratch_stripe
                scratch_stripe.set_faults(enabled=False)
                worker.order("warm", CLOSED_AT, database=scratch)
                worker.answer()
            self.cluster.drop(scratch)
            self.workers.append(worker)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@contextmanager
def workshop(cluster: Cluster) -> Iterator[Workshop]:
    made = Workshop(cluster)
    try:
        yield made
    finally:
        made.close()
