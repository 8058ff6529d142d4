"""The processes of `bench.delivery`: `stripe LATENCY`, `seed OFFICES`, `drain BEGIN`; each prints lines of JSON."""

import json
import os
import sys
import time
from collections import Counter
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.scenario import ACTOR, FIRST_RUN_AT, MONTH_END_AT, Size  # noqa: E402
from bench.seed import seed as seed_offices  # noqa: E402
from billing.billing_run import run_due  # noqa: E402
from billing.customers import queue_customers  # noqa: E402
from billing.delivery import deliver_due  # noqa: E402
from billing.models import MessageKind, MessageStatus, OutboxMessage  # noqa: E402
from offices.models import Office, OfficeStripeAccount  # noqa: E402
from sandbox.stripe_standin import StripeStandIn  # noqa: E402

WAITING = (MessageStatus.PENDING, MessageStatus.LEASED)
PATIENTS = 2


def stripe(latency: str) -> None:
    """Serve, and answer on stdin how many requests came since the last `forget`."""

    class Distant(StripeStandIn):
        def _answer(self, request):
            time.sleep(float(latency))
            return super()._answer(request)

    with Distant(api_keys={settings.STRIPE_API_KEY}) as standin:
        tell(standin.base_url)
        for line in sys.stdin:
            if line.strip() == "forget":
                standin.forget_requests()
            tell(dict(standin.counts()))


def seed(offices: str) -> None:
    """Close a month for so many offices, and let Stripe know each of them: only the invoices wait."""
    call_command("migrate", verbosity=0)
    seed_offices(Size(int(offices), PATIENTS))
    OfficeStripeAccount.objects.all().delete()
    for at in (FIRST_RUN_AT, MONTH_END_AT):
        run_due(as_of=at, actor=ACTOR, now=at)
    queue_customers(list(Office.objects.values_list("pk", flat=True)), actor=ACTOR, now=MONTH_END_AT)
    invoices = OutboxMessage.objects.filter(kind=MessageKind.INVOICE)
    invoices.update(next_attempt_at=timezone.now() + timedelta(days=1))
    settings.STRIPE_RATE_PER_SECOND = 10_000
    deliver_due(clock=timezone.now)
    invoices.update(next_attempt_at=timezone.now())
    items = sum(len(json.loads(text)["items"]) for text in invoices.values_list("payload", flat=True))
    tell({"invoices": invoices.count(), "items": items})


def drain(begin: str) -> None:
    """Deliver until nothing waits, as one worker's process does; count the statements."""
    told = Counter(delivered=0, statements=0)

    def count(execute, *arguments):
        told["statements"] += 1
        return execute(*arguments)

    time.sleep(max(float(begin) - time.time(), 0))
    began, cpu = time.time(), time.process_time()
    with connection.execute_wrapper(count):
        while OutboxMessage.objects.filter(status__in=WAITING).exists():
            told["delivered"] += deliver_due(clock=timezone.now).counts["delivered"]
            time.sleep(0.05)  # what is left is leased by another process
    tell({**told, "began": began, "ended": time.time(), "cpu": time.process_time() - cpu})


def tell(facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    {task.__name__: task for task in (stripe, seed, drain)}[sys.argv[1]](*sys.argv[2:])
