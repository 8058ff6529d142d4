"""What must be true when the story has been told: each finding is one sentence that holds or does not."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.apps import apps
from django.db.models import Count, F, Sum

from audit.chain import verify
from billing.models import (
    BillingCycle,
    BillingRun,
    EventStatus,
    Invoice,
    LineItem,
    MessageStatus,
    OutboundRequest,
    OutboxMessage,
    StripeEvent,
)
from billing.stripe_gateway.outbound_values import CATALOGUE
from offices.models import Office, OfficeStripeAccount
from patients.models import ActivityPeriod
from sandbox.demo.privacy import PrivacyFindings
from sandbox.demo.stage import Stage
from sandbox.demo.statuses import Comparison, compare

_STATEFUL_APPS = ("audit", "offices", "patients", "billing")
_WAITING_EVENTS = (EventStatus.PENDING, EventStatus.QUARANTINED, EventStatus.DEAD)


@dataclass(frozen=True, slots=True)
class Check:
    """A sentence that must be true; `code` names it for machines."""

    code: str
    sentence: str
    holds: bool


def row_counts() -> dict[str, int]:
    """Return how many rows each table of the product has; a run's own row does not count (decisions.md 43)."""
    models = [model for label in _STATEFUL_APPS for model in apps.get_app_config(label).get_models()]
    return {model._meta.db_table: model._base_manager.count() for model in models if model is not BillingRun}


def a_second_time_changes_nothing(stage: Stage) -> Check:
    """Let everything run again at the same instant."""
    before, requests = row_counts(), stage.standin.writes()
    stage.tick()
    unchanged = row_counts() == before and stage.standin.writes() == requests
    return Check("second_run_changed_something", "a second run adds no row and writes nothing to Stripe", unchanged)


def checks_of(stage: Stage, privacy: PrivacyFindings) -> tuple[list[Check], Comparison]:
    """Return every sentence, and the comparison with Stripe that one of them tells of."""
    comparison = compare(stage.standin)
    entries, breaks = verify()
    return [
        *(Check("expectation_missed", sentence, holds) for sentence, holds in stage.expectations),
        *_about_the_books(stage.now),
        *_about_what_waits(stage),
        Check(
            "status_differs",
            f"all {comparison.compared:,} invoices have the same status, total and id here and at Stripe",
            comparison.compared > 0 and not comparison.differences,
        ),
        *_about_stripe(stage),
        *_about_privacy(privacy),
        Check("audit_chain_broken", f"the audit chain verifies over {entries:,} entries", entries > 0 and not breaks),
        a_second_time_changes_nothing(stage),
    ], comparison


def _about_the_books(now: datetime) -> Iterator[Check]:
    ended = BillingCycle.objects.filter(end_at__lte=now, closed_at__isnull=True)
    closed = BillingCycle.objects.filter(closed_at__isnull=False)
    yield Check("cycle_not_closed", f"all {closed.count():,} cycles that have ended are closed", not ended.exists())
    yield Check(
        "patient_not_billed_once",
        "everybody who was active in a closed cycle is billed for it exactly once, and nobody else",
        charged_in_closed_cycles() == active_in_closed_cycles(),
    )
    explained = Invoice.objects.filter(closed_at__isnull=False).annotate(of_lines=Sum(_LINES))
    yield Check(
        "total_not_explained",
        "the total of every closed invoice is the sum of its lines",
        not explained.exclude(total_cents=F("of_lines")).exclude(total_cents=0, of_lines=None).exists(),
    )


_LINES = F("line_items__quantity") * F("line_items__unit_price_cents")

Charged = Counter[tuple[UUID, str, UUID]]


def charged_in_closed_cycles() -> Charged:
    """Count the live lines by office, month and patient reference."""
    months = set(BillingCycle.objects.filter(closed_at__isnull=False).values_list("office", "key"))
    lines = LineItem.objects.filter(live=True, patient_reference__isnull=False)
    rows = lines.values_list("invoice__office", "cycle_key", "patient_reference")
    return Counter(
        (office, key, patient) for office, key, patient in rows if key and patient and (office, key) in months
    )


def active_in_closed_cycles() -> Charged:
    """Count, from the periods of activity alone, who was active at any moment of which closed cycle: once each."""
    periods = defaultdict(list)
    for office, patient, start, end in ActivityPeriod.objects.values_list(
        "office", "patient", "activated_at", "deactivated_at"
    ):
        periods[office].append((patient, start, end))
    cycles = BillingCycle.objects.filter(closed_at__isnull=False).values_list("office", "key", "start_at", "end_at")
    return Counter(
        {
            (office, key, patient): 1
            for office, key, start_at, end_at in cycles
            for patient, start, end in periods[office]
            if start < end_at and (end is None or end > start_at)
        }
    )


def _about_what_waits(stage: Stage) -> Iterator[Check]:
    undone = OutboxMessage.objects.exclude(status=MessageStatus.DONE)
    parked = Office.objects.filter(parked_at__isnull=False)
    yield Check(
        "message_not_delivered", "everything queued has reached Stripe", not undone.exists() and not parked.exists()
    )
    waiting = StripeEvent.objects.filter(status__in=_WAITING_EVENTS)
    yield Check(
        "event_not_processed",
        f"all {stage.counts['webhooks_delivered']:,} webhooks were accepted and worked through",
        not stage.counts["webhooks_refused"] and not waiting.exists() and StripeEvent.objects.exists(),
    )


def _about_stripe(stage: Stage) -> Iterator[Check]:
    offices = Invoice.objects.filter(stripe_invoice_id__isnull=False).aggregate(n=Count("office", distinct=True))["n"]
    customers = len(stage.standin.objects("customer"))
    accounts = OfficeStripeAccount.objects.count()
    yield Check(
        "customer_not_once",
        f"{customers} customers at Stripe: one for each office that was sent an invoice",
        offices == customers == accounts,
    )
    texts = stage.standin.distinct_descriptions()
    yield Check(
        "description_not_in_catalogue",
        f"the {len(texts)} distinct descriptions that Stripe saw are of our catalogue",
        bool(texts) and texts <= CATALOGUE,
    )
    seen, evidence = len(stage.standin.requests), OutboundRequest.objects.count()
    yield Check(
        "request_without_evidence",
        f"the {seen:,} requests that Stripe saw are the {evidence:,} of our egress evidence",
        seen == evidence,
    )


def _about_privacy(privacy: PrivacyFindings) -> Iterator[Check]:
    scan, proof = privacy.scan, privacy.proof
    yield Check(
        "patient_identifier_found",
        f"{scan.found.total()} patient identifiers found in {scan.size:,} bytes of {scan.requests:,} requests",
        scan.requests > 0 and scan.needles > 0 and not scan.found,
    )
    yield Check(
        "scanner_is_blind",
        f"the scanner finds {proof.found:,} of {proof.planted:,} planted identifiers",
        proof.planted > 0 and proof.found == proof.planted,
    )
