"""What a run looks at: a month of cycles, an office, what was closed lately, or all."""

from datetime import timedelta

from django.db.models import Q, QuerySet

from billing.models import BillingCycle, Discrepancy, Invoice, OutboxMessage, ReconciliationRun

# Our clock and Stripe's may differ, and an invoice is made at Stripe after it was closed here, never before.
CLOCK_DIFFERENCE = timedelta(days=1)


def invoices(run: ReconciliationRun) -> QuerySet[Invoice]:
    """Return our closed invoices that may be at Stripe: nothing due is never sent (product.md rule 9)."""
    found = Invoice.objects.filter(closed_at__isnull=False, closed_at__lte=run.started_at, total_cents__gt=0)
    if run.office_id is not None:
        found = found.filter(office=run.office_id)
    if run.since is not None:
        found = found.filter(closed_at__gte=run.since)
    if run.cycle_key:
        found = found.filter(of_month(run.cycle_key))
    return found


def of_month(key: str) -> Q:
    """Say which invoices belong to a month: those of its cycles, and what else was closed in it (UTC)."""
    year, month = map(int, key.split("-"))
    return Q(cycle__key=key) | Q(cycle__isnull=True, closed_at__year=year, closed_at__month=month)


def month_of(invoice: Invoice) -> str:
    """Return the month an invoice belongs to, `YYYY-MM`."""
    if invoice.cycle is not None:
        return invoice.cycle.key
    return f"{invoice.closed_at:%Y-%m}" if invoice.closed_at else ""


def cycles(run: ReconciliationRun) -> QuerySet[BillingCycle]:
    """Return the closed cycles that a run looks at."""
    found = BillingCycle.objects.filter(closed_at__isnull=False, closed_at__lte=run.started_at)
    if run.office_id is not None:
        found = found.filter(office=run.office_id)
    if run.since is not None:
        found = found.filter(closed_at__gte=run.since)
    return found.filter(key=run.cycle_key) if run.cycle_key else found


def messages(run: ReconciliationRun) -> QuerySet[OutboxMessage]:
    """Return the outbox messages that a run looks at."""
    found = OutboxMessage.objects.filter(created_at__lte=run.started_at)
    if run.office_id is not None:
        found = found.filter(office=run.office_id)
    if run.since is not None:
        found = found.filter(created_at__gte=run.since)
    if run.cycle_key:
        found = found.filter(invoice__among=list(invoices(run).values_list("pk", flat=True)))
    return found


def discrepancies(run: ReconciliationRun) -> QuerySet[Discrepancy]:
    """Return the discrepancies that a complete run would have found again if they still held."""
    found = Discrepancy.objects.all()
    if run.office_id is not None:
        found = found.filter(office=run.office_id)
    if run.since is not None:
        found = found.filter(Q(invoice__isnull=True, cycle_key="") | Q(invoice__closed_at__gte=run.since))
    return found.filter(cycle_key=run.cycle_key) if run.cycle_key else found


def is_whole(run: ReconciliationRun) -> bool:
    """Say whether the run looks at everything that is not bound to an invoice or a cycle too."""
    return not run.cycle_key
