"""With Redis, worker and beat do unattended what the commands do by hand."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from billing.charges import Charge, charge_office
from billing.models import ChargeReason, Invoice, InvoiceStatus, MessageStatus, OutboxMessage
from billing.tasks import deliver_outbox
from tests.builders import ACTOR, make_office
from tests.invariants import assert_invariants

OFFICES = 6
LONGEST_WAIT = 180  # seconds; beat sweeps every 15, and four processes start first


def database_url() -> str:
    """Return the address of this test's own database."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return f"postgres://{database['USER']}@{database['HOST']}:{database['PORT'] or 5432}/{database['NAME']}"


@contextmanager
def celery(*arguments: str, broker: str) -> Iterator[subprocess.Popen]:
    """Run a Celery process against this test's database and stand-in."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "CELERY_BROKER_URL": broker,
        "CACHE_URL": broker.replace("redis://", "rediscache://"),
        "STRIPE_API_BASE": django_settings.STRIPE_API_BASE,
        "DATABASE_URL": database_url(),
    }
    command = [sys.executable, "-m", "celery", "-A", "billing_project", *arguments, "--loglevel=WARNING"]
    process = subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Look again until the condition holds or the longest wait is over."""
    until = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_what_waits_is_delivered_without_a_ring_though_a_worker_and_a_beat_are_killed(stripe, tmp_path):
    """Two workers and two beats, as on two machines; nobody rings, and half of them dies amid the work."""
    broker = os.environ["REDIS_URL"]
    charge = Charge(ChargeReason.TRAINING, 5_000)
    for _ in range(OFFICES):
        charge_office(office_id=make_office().pk, charge=charge, actor=ACTOR, now=timezone.now())

    with ExitStack() as machines:
        workers, beats = [], []
        for name, queues in (("first", "delivery"), ("second", "delivery,books")):
            worker = ("worker", "--pool=solo", f"--queues={queues}", f"--hostname={name}@%h")
            workers.append(machines.enter_context(celery(*worker, broker=broker)))
            beat = ("beat", "--schedule", str(tmp_path / name), "--pidfile=")
            beats.append(machines.enter_context(celery(*beat, broker=broker)))
        assert wait_for(lambda: sent() > 0)
        workers[0].kill()
        beats[0].kill()
        assert wait_for(lambda: sent() >= OFFICES - 1)  # one may be the dead worker's until its lease ends
        OutboxMessage.objects.filter(status=MessageStatus.LEASED).update(lease_expires_at=timezone.now())
        assert wait_for(lambda: sent() == OFFICES)

    assert [invoice["status"] for invoice in stripe.objects("invoice")] == ["open"] * OFFICES
    assert_invariants(stripe)


def sent() -> int:
    return Invoice.objects.filter(status=InvoiceStatus.SENT).count()


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_a_task_runs_in_the_calling_process(stripe):
    charge = Charge(ChargeReason.TRAINING, 5_000)
    charge_office(office_id=make_office().pk, charge=charge, actor=ACTOR, now=timezone.now())

    deliver_outbox.delay()

    assert Invoice.objects.get().status == InvoiceStatus.SENT
