"""The API's reads with a million line items in the database: `python -m bench.api_reads`.

10,000 offices with one open invoice of 100 lines each, and one of them with 5,000 more. Prints p50 and p99 of the list,
of the detail (of the large invoice its first page) and of the summary, each beside the bare view of the same run.
"""

import argparse
import os
import statistics
from functools import partial
from typing import Any

from bench.api import _Caller, _interleaved
from bench.databases import databases

OFFICES, LINES, LARGE = 10_000, 100, 5_000
OPENED = "2026-01-20"

_OFFICES = """
    INSERT INTO offices_office (id, reference, opaque_name, {others})
    SELECT gen_random_uuid(), 'bench-' || n, 'Office ' || lpad(n::text, 8, '0'), {theirs}
    FROM offices_office o CROSS JOIN generate_series(2, %s) n WHERE o.id = %s
"""
_INVOICES = """
    INSERT INTO billing_invoice (id, office_id, {others})
    SELECT gen_random_uuid(), o.id, {theirs}
    FROM billing_invoice i CROSS JOIN offices_office o
    WHERE i.office_id = %s AND i.invoice_type = 'one_off' AND o.id <> i.office_id
"""
_LINES = """
    INSERT INTO billing_lineitem (id, invoice_id, item_type, cycle_key, patient_reference, quantity, unit_price_cents,
                                  live, created_at)
    SELECT gen_random_uuid(), i.id, 'active_patient', '2026-01', gen_random_uuid(), 1, 200, true, now()
    FROM billing_invoice i CROSS JOIN generate_series(1, %s) n WHERE i.status = 'draft' AND i.id = ANY (%s)
"""


def main() -> None:
    """Seed, measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=300)
    rounds = arguments.parse_args().rounds
    with databases() as ours:
        ours.create("reads")
        os.environ |= {"DATABASE_URL": ours.url("reads"), "DJANGO_SETTINGS_MODULE": "bench.served"}
        _measure(rounds)


def _measure(rounds: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.db import connection

    from billing.models import Invoice

    call_command("migrate", verbosity=0)
    small, large = _seed()
    connection.settings_dict["CONN_MAX_AGE"] = None  # one connection, as a worker keeps it
    application = get_wsgi_application()
    paths: dict[str, tuple[Any, str]] = {"bare view": (_Caller(application, small[1]), "/bare")}
    for name, (office, key) in {"ordinary office": small, "large office": large}.items():
        invoice = Invoice.objects.get(office=office, status="draft", closed_at=None)
        for read, path in {
            "list": f"/api/billing/invoices/{office.pk}",
            "detail": f"/api/billing/invoices/{office.pk}/{invoice.pk}",
            "summary": f"/api/billing/offices/{office.pk}/summary",
        }.items():
            paths[f"{read}, {name}"] = (_Caller(application, key), path)
    taken = _interleaved([partial(call, "GET", path) for call, path in paths.values()], rounds)
    for name, times in zip(paths, taken, strict=True):
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(f"{name:26} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   {p50 / statistics.median(taken[0]):5.2f} x bare")
    connection.close()


def _seed() -> tuple[tuple[Any, str], tuple[Any, str]]:
    """Fill the database; return the ordinary and the large office, each with a key."""
    from django.db import connection

    from billing.api_keys import issue_api_key
    from billing.models import Invoice, LineItem
    from billing.monthly_invoice import ensure_open_invoice
    from offices.models import Office
    from tests.builders import ACTOR, make_office, utc

    now = utc(OPENED)
    offices = [make_office(), make_office()]
    keys = [issue_api_key(office_id=office.pk, name="bench", actor=ACTOR, now=now)[1] for office in offices]
    for office in offices:
        ensure_open_invoice(office_id=office.pk, actor=ACTOR, now=now)
    draft = Invoice.objects.create(
        office=offices[0], invoice_type="one_off", currency="USD", created_at=now, updated_at=now
    )
    with connection.cursor() as cursor:
        others, theirs = _columns(Office, {"id", "reference", "opaque_name"}, "o")
        cursor.execute(_OFFICES.format(others=others, theirs=theirs), [OFFICES - 1, offices[0].pk])
        others, theirs = _columns(Invoice, {"id", "office_id"}, "i")
        cursor.execute(_INVOICES.format(others=others, theirs=theirs), [offices[0].pk])
        Invoice.objects.filter(pk=draft.pk).delete()
        Invoice.objects.filter(office__in=offices, invoice_type="one_off").delete()
        ids = list(Invoice.objects.values_list("pk", flat=True))
        cursor.execute(_LINES, [LINES, ids])
        cursor.execute(_LINES, [LARGE, [Invoice.objects.get(office=offices[1]).pk]])
        cursor.execute("VACUUM ANALYZE")
    print(f"{LineItem.objects.count():,} lines on {Invoice.objects.count():,} invoices")
    return (offices[0], keys[0]), (offices[1], keys[1])


def _columns(model: Any, but: set[str], alias: str) -> tuple[str, str]:
    names = sorted({field.column for field in model._meta.concrete_fields} - but)
    return ", ".join(names), ", ".join(f"{alias}.{name}" for name in names)


if __name__ == "__main__":
    main()
