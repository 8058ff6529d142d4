"""Which cycles does the monthly run own, and which were reconstructed by a backfill? (decisions.md 11)

A backfill's cycle is told by the origin of its invoices: it stays a backfill's after its invoice was closed, canceled
or replaced. The run and activation leave it alone; once closed it counts as any closed cycle does.
"""

from django.db.models import Exists, OuterRef, QuerySet

from billing.models import BillingCycle, Invoice, InvoiceOrigin


def backfilled() -> Exists:
    """Say, from a query on cycles, whether a backfill reconstructed the cycle."""
    return Exists(Invoice.objects.filter(cycle=OuterRef("pk"), origin=InvoiceOrigin.BACKFILL))


def cycles_of_the_run() -> QuerySet[BillingCycle]:
    """Return the cycles that the run or an activation opened."""
    return BillingCycle.objects.filter(~backfilled())


def cycles_of_backfills() -> QuerySet[BillingCycle]:
    """Return the cycles that a backfill reconstructed."""
    return BillingCycle.objects.filter(backfilled())
