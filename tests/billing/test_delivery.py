"""From a closed invoice to Stripe: once, complete, and only when the totals agree."""

import pytest

from billing.billing_run import run_due
from billing.delivery import deliver_due
from billing.models import Invoice, InvoiceStatus, MessageStatus, OutboundRequest, OutboxMessage
from tests.builders import ACTOR, Clock, make_office, make_patient, utc

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed_month():
    """An office with two patients whose first month has closed: one carried over, one activated within it."""
    office = make_office()
    make_patient(office, (utc("2026-01-02"), None))
    make_patient(office, (utc("2026-02-20"), None))
    run_due(as_of=utc("2026-03-01"), actor=ACTOR, now=utc("2026-03-01"))
    run_due(as_of=utc("2026-03-20"), actor=ACTOR, now=utc("2026-03-20"))
    return Invoice.objects.get(closed_at__isnull=False)


@pytest.mark.django_db
def test_a_closed_invoice_reaches_stripe_finalized_with_our_total(closed_month, stripe):
    summary = deliver_due(clock=Clock(utc("2026-03-20")))

    print(summary, OutboxMessage.objects.values_list("kind", "status", "error_code"))
    closed_month.refresh_from_db()
    assert closed_month.status == InvoiceStatus.SENT
    (at_stripe,) = stripe.objects("invoice")
    assert at_stripe["status"] == "open"
    assert at_stripe["total"] == closed_month.total_cents == 400
    print([(r.method, r.path, r.body, r.query) for r in OutboundRequest.objects.all()])
