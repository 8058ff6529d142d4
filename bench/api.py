"""The API beside a bare view of the REST framework with the same authentication: `python -m bench.api`.

Calls go through the whole WSGI application in this process, interleaved, on PostgreSQL with 200,000 invoices. Prints
medians and ratios: a page of 50 invoices must be at most 2.5 times the bare view, an activation 4 times. The activation
is also set beside a bare view that writes one row in a transaction: a durable answer costs a COMMIT, whoever gives it.
"""

import argparse
import gc
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

from bench.databases import databases

OFFICES, INVOICES = 1_000, 200  # invoices of each office
MUST = {"page of 50 invoices": 2.5, "activation": 4.0}

_COPIES = """
    INSERT INTO billing_invoice (id, office_id, created_at, {others})
    SELECT gen_random_uuid(), o.id, now() - n * interval '1 hour', {theirs}
    FROM billing_invoice i CROSS JOIN offices_office o CROSS JOIN generate_series(1, %s) n
"""


def main() -> None:
    """Seed, measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=400)
    rounds = arguments.parse_args().rounds
    with databases() as ours:
        ours.create("api")
        os.environ |= {"DATABASE_URL": ours.url("api"), "DJANGO_SETTINGS_MODULE": "bench.served"}
        _measure(rounds)


def _measure(rounds: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.db import connection

    call_command("migrate", verbosity=0)
    office, key = _seed()
    call = _Caller(get_wsgi_application(), key)
    patients = iter(_patients(office, rounds + 50))
    connection.settings_dict["CONN_MAX_AGE"] = None  # one connection, as a worker keeps it
    bare_read = lambda: call("GET", "/bare")  # noqa: E731
    bare_write = lambda: call("POST", "/bare", b"{}")  # noqa: E731
    bare_commit = lambda: call("POST", "/bare-write", b"{}")  # noqa: E731
    page = lambda: call("GET", f"/api/billing/invoices/{office.pk}")  # noqa: E731
    activate = lambda: call("POST", f"/api/billing/patients/{next(patients)}/activate", b"{}")  # noqa: E731
    taken = _interleaved([bare_read, page, bare_write, activate, bare_commit], rounds)
    _tell("page of 50 invoices", taken[1], taken[0])
    _tell("activation", taken[3], taken[2])
    _tell("activation", taken[3], taken[4], "that writes one row")
    connection.close()


def _seed() -> tuple[Any, str]:
    """Make offices, one closed invoice, and copies of it for every office."""
    from django.db import connection

    from billing.api_keys import issue_api_key
    from billing.charges import Charge, charge_office
    from billing.models import ChargeReason, Invoice
    from tests.builders import ACTOR, make_office, utc

    offices = [make_office() for _ in range(OFFICES)]
    now = utc("2026-01-20")
    charge = Charge(ChargeReason.TRAINING, amount_cents=100)
    charge_office(office_id=offices[0].pk, charge=charge, actor=ACTOR, now=now)
    columns = {field.column for field in Invoice._meta.concrete_fields} - {"id", "office_id", "created_at"}
    others, theirs = ", ".join(columns), ", ".join(f"i.{column}" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(_COPIES.format(others=others, theirs=theirs), [INVOICES])
        cursor.execute("ANALYZE")
    assert Invoice.objects.count() == OFFICES * INVOICES + 1
    _, key = issue_api_key(office_id=offices[0].pk, name="bench", actor=ACTOR, now=now)
    return offices[0], key


def _patients(office: Any, count: int) -> list[uuid.UUID]:
    from tests.builders import make_patient

    return [make_patient(office).pk for _ in range(count)]


class _Caller:
    """A request without a socket: the WSGI application is called as a server would."""

    def __init__(self, application: Any, key: str) -> None:
        self._application, self._key = application, key

    def __call__(self, method: str, path: str, body: bytes = b"") -> bytes:
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
            "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr, "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": f"Api-Key {self._key}",
        }  # fmt: skip
        response = self._application(environ, lambda status, _headers: statuses.append(status))
        answer = b"".join(response)
        response.close()
        assert statuses[0][:2] == "20", (path, statuses, answer)
        return answer


def _interleaved(calls: list[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Call each in turn, so that a slow moment of the machine meets all of them; return milliseconds."""
    for call in calls * 20:
        call()
    gc.collect()
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            taken[number].append((time.perf_counter() - start) * 1e3)
    return taken


def _tell(name: str, ours: list[float], bare: list[float], of_kind: str = "") -> None:
    middle, baseline = statistics.median(ours), statistics.median(bare)
    p99 = statistics.quantiles(ours, n=100)[98]
    print(f"{name:20} {middle:6.2f} ms (p99 {p99:6.2f})   bare view {of_kind} {baseline:5.2f} ms   "
          f"{middle / baseline:5.2f} x  (must be at most {MUST[name]})")  # fmt: skip


if __name__ == "__main__":
    main()
