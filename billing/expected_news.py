"""Which news each write to Stripe must bring: registered in the transaction that says the write is done."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from billing.models import ExpectedEvent, OutboxStep
from billing.stripe_gateway.operation import Operation

# Webhooks come within seconds. A quarter of an hour leaves room for a deployment of ours; after a month end with the
# endpoint down, 10,000 fetches at 20 a second take eight minutes.
PATIENCE = timedelta(minutes=15)

# Writes that change what is owed or paid. A draft, its items and customers tell nothing that we wait for.
NEWS_OF: Mapping[Operation, str] = {
    Operation.FINALIZE_INVOICE: "invoice.finalized",
    Operation.PAY_INVOICE: "invoice.paid",
    Operation.VOID_INVOICE: "invoice.voided",
    Operation.MARK_UNCOLLECTIBLE: "invoice.marked_uncollectible",
    Operation.CREATE_CREDIT_NOTE: "credit_note.created",
}


def expect_news(step: OutboxStep, object_id: str, *, now: datetime) -> None:
    """Write down what Stripe should tell about this write, and by when; once per step."""
    event_type = NEWS_OF.get(Operation(step.operation))
    if event_type is not None:
        expected = ExpectedEvent(
            step=step,
            stripe_object_id=object_id,
            event_type=event_type,
            registered_at=now,
            expected_by=now + PATIENCE,
        )
        ExpectedEvent.objects.bulk_create([expected], ignore_conflicts=True)
