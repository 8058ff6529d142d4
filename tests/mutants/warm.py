"""A warm process that forks for each mutant: the child changes the code in place, lives the flow, and says what it saw.

One mutant is one line of JSON on stdin (`{"module", "source"}`), one verdict one line on stdout. The parent holds no
connection; each child works on a copy of one migrated database file.
"""

import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import stripe
from stripe import _http_client as sdk_http

# The SDK as it comes, before the product closes its doors.
_OPEN_DOORS = {name: getattr(sdk_http, name) for name in ("_default_sync_client", "_default_async_client")}

django.setup()

import pytest  # noqa: E402 - after setup
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from billing.stripe_gateway import client  # noqa: E402
from tests.mutants import flow  # noqa: E402
from tests.mutants.apply import apply  # noqa: E402

SECONDS = 120  # a mutant that waits for ever is killed, and so found
_HERE = "tests/stripe_gateway"
_JUDGES = (f"{_HERE}/test_guard.py", f"{_HERE}/test_guard_wire.py")
_CLIENT = (f"{_HERE}/test_client.py", f"{_HERE}/test_bypasses.py", f"{_HERE}/test_environment.py",
           f"{_HERE}/test_rate_limit.py", f"{_HERE}/test_client_replies.py")  # fmt: skip
# The tests that must notice what the flow does not, by the module that is changed.
TESTS = {
    "billing.stripe_gateway.outbound": (f"{_HERE}/test_outbound.py",),
    "billing.stripe_gateway.outbound_corrections": (f"{_HERE}/test_outbound.py",),
    "billing.stripe_gateway.outbound_values": (f"{_HERE}/test_outbound.py",),
    "billing.stripe_gateway.evidence": _CLIENT,
    "billing.stripe_gateway.guard": _JUDGES,
    "billing.stripe_gateway.policy": _JUDGES,
    "billing.stripe_gateway.wire": _JUDGES,
    "billing.stripe_gateway.client": _CLIENT,
    "billing.stripe_gateway.transport": _CLIENT,
    "billing.stripe_connection": ("tests/billing/test_stripe_connection.py",),
}
_QUIET = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--no-header")


def verdict_of(order: dict[str, Any], honest: flow.Transcript | None) -> dict[str, Any]:
    """Live the flow with the mutant in place; run the gateway's own tests when it does not notice."""
    for module, source in order.get("sources", {}).items():
        apply(module, source)
    _open_the_doors()
    client.install()
    problems, transcript, leaked, stopped = flow.run(honest)
    verdict = {"problems": problems, "leaked": leaked, "blocked": stopped}
    if honest is None:
        return verdict | {"transcript": transcript}
    tests = {test for module in order.get("sources", TESTS) for test in TESTS.get(module, ())}
    if not problems and tests:
        connection.close()
        verdict["tests_failed"] = int(pytest.main([*_QUIET, *sorted(tests)])) != 0
    return verdict


def _open_the_doors() -> None:
    """Undo what the parent's own `install` did, so that a mutant of it shows."""
    for name, factory in _OPEN_DOORS.items():
        setattr(sdk_http, name, factory)
    stripe.default_http_client, stripe.enable_telemetry, stripe.max_network_retries = None, True, 2
    stripe.api_base = stripe.connect_api_base = stripe.upload_api_base = stripe.meter_events_api_base = ""
    for name in ("stripe", "urllib3.connectionpool"):
        logging.getLogger(name).filters.clear()


def obey(order: dict[str, Any], database: Path, honest: flow.Transcript | None) -> dict[str, Any]:
    """Fork, wait, and return what the child says; one that dies or hangs has noticed the mutant too."""
    copy = database.with_name("mutant.sqlite3")
    for left_over in database.parent.glob(f"{copy.name}*"):  # the log of the one before would be read into this one
        left_over.unlink()
    shutil.copy(database, copy)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        signal.alarm(SECONDS)
        try:
            settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = str(copy)
            answer = verdict_of(order, honest)
        except BaseException as error:  # noqa: BLE001 - also a mutant that cannot even be put in place
            answer = {"problems": [f"{type(error).__name__} before the flow"], "leaked": False, "blocked": False}
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said) if said else {"problems": ["the flow hangs"], "leaked": False, "blocked": False}


def _silent(act: Callable[[], object]) -> None:
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    act()
    os.dup2(kept, 1)


def main() -> None:
    """Migrate once, live the honest flow once, then obey."""
    database = Path(settings.DATABASES["default"]["NAME"])
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    honest_run = obey({}, database, None)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    answers.write(json.dumps({key: value for key, value in honest_run.items() if key != "transcript"}) + "\n")
    honest = [tuple(row) for row in honest_run["transcript"]]
    _silent(lambda: pytest.main([*_QUIET, "--collect-only", _HERE]))  # imported once, not by each child
    for line in sys.stdin:
        answers.write(json.dumps(obey(json.loads(line), database, honest)) + "\n")


if __name__ == "__main__":
    main()
