"""The benchmark compares like with like: every side makes the same rows from the same start."""

import hashlib
import re

import pytest
from django.conf import settings
from django.db import connection, transaction

from audit.chain import verify
from bench import hand_sql, naive, same_rows
from bench.scenario import ACTOR, FIRST_RUN_AT, MONTH_END_AT, Size
from bench.seed import seed
from billing.billing_run import run_due
from billing.models import BillingCycle, Invoice, LineItem, OutboxMessage

SIZE = Size(offices=50, patients=5)  # one trial among them, some overrides and offices that Stripe does not know


def ours(as_of):
    run_due(as_of=as_of, actor=ACTOR, now=as_of)


def hand(as_of):
    hand_sql.run(connection.connection, as_of, mailbox=settings.BILLING_FALLBACK_EMAIL)


SIDES = [naive.bulk_create, naive.object_by_object]
if connection.vendor == "postgresql":
    SIDES.append(hand)


def rows():
    """Everything but random ids."""
    lines = LineItem.objects.values_list(
        "invoice__cycle__key", "item_type", "cycle_key", "patient_reference", "quantity", "unit_price_cents", "live"
    )
    invoices = Invoice.objects.values_list(
        "office", "cycle__key", "status", "total_cents", "settlement_reason", "collection_method", "closed_at"
    )
    cycles = BillingCycle.objects.values_list(
        "office", "key", "start_at", "end_at", "unit_price_cents", "closed_at", "carried_over_at", "patient_count"
    )
    messages = [
        (kind, office, re.sub('"invoice":"[^"]*"', "", payload), hashlib.sha256(payload.encode()).hexdigest() == digest)
        for kind, office, payload, digest in OutboxMessage.objects.values_list(
            "kind", "office", "payload", "payload_digest"
        )
    ]
    return [sorted(map(str, table)) for table in (lines, invoices, cycles, messages)]


def made_by(side, as_of):
    """Run a side, look at what it made, and take it back."""
    with transaction.atomic():
        side(as_of)
        made = rows(), verify()
        fingerprint = same_rows.fingerprint(connection.connection) if connection.vendor == "postgresql" else None
        transaction.set_rollback(True)
    return *made, fingerprint


@pytest.mark.django_db
def test_all_sides_make_the_same_rows():
    seed(SIZE)
    for as_of in (FIRST_RUN_AT, MONTH_END_AT):
        expected, (entries, breaks), fingerprint = made_by(ours, as_of)
        assert breaks == []
        assert len(expected[0]) == SIZE.lines * (1 if as_of == FIRST_RUN_AT else 2)
        for side in SIDES:
            assert made_by(side, as_of) == (expected, (entries, []), fingerprint), side.__name__
        ours(as_of)
