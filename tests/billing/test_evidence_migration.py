"""What stood in clear before is sealed by the migration, and readable again when it is undone."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing.customers import customer_digests
from billing.models import OutboundRequest, OutboxStep, StripeEvent
from tests.billing.scenes import CLOSED_AT, SharedClock, delivered, ring

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE, AFTER = ("billing", "0009_ways_out"), ("billing", "0010_evidence_sealed")


def migrate(target: tuple[str, str]) -> None:
    executor = MigrationExecutor(connection)
    executor.loader.build_graph()
    latest = [node for node in executor.loader.graph.leaf_nodes() if node[0] != "billing"]
    executor.migrate([*latest, target] if target == BEFORE else executor.loader.graph.leaf_nodes())


def column(table: str, name: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT "{name}" FROM "{table}" ORDER BY 1')
        return [text for (text,) in cursor.fetchall()]


def rules() -> set[str]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        return {name for (name,) in cursor.fetchall()}


def test_rows_in_clear_are_sealed_and_opened_again(stripe):
    clock = SharedClock(CLOSED_AT, stripe)
    delivered(stripe, clock)
    ring(stripe, clock.at)
    requests = sorted(OutboundRequest.objects.values_list("path", "query", "body", "digest"))
    made = sorted(step.object_id for step in OutboxStep.objects.all())
    (customer,) = (each for each in made if each.startswith("cus_"))
    before = rules()

    migrate(BEFORE)
    try:
        assert customer in column("billing_outboxstep", "stripe_object_id")
        assert customer in column("billing_stripeevent", "object_id")
        assert any(customer in body for body in column("billing_outboundrequest", "body"))
        assert "outbound_request_kept" in rules()
    finally:
        migrate(AFTER)

    assert not any(customer in text for text in column("billing_outboundrequest", "body"))
    assert customer not in [
        *column("billing_outboxstep", "stripe_object_id"),
        *column("billing_stripeevent", "object_id"),
    ]
    assert sorted(OutboundRequest.objects.values_list("path", "query", "body", "digest")) == requests
    assert sorted(step.object_id for step in OutboxStep.objects.all()) == made
    assert StripeEvent.objects.filter(customer_index__in=customer_digests(customer)).first().customer_id == customer
    assert rules() == before
