"""Read the books of some offices from the tables, in the shape that the log is rebuilt to."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from billing.models import LINE_TOTAL, BillingCycle, Invoice, LineItem
from billing.rebuilt_books.state import CycleBook, InvoiceBook, OfficeBooks
from offices.models import Office, OfficePlan, OfficeStatusChange, OfficeStripeAccount, OfficeZone, PriceOverride
from patients.models import ActivityPeriod


def stored_books(offices: Sequence[Office]) -> dict[UUID, OfficeBooks]:
    """Return the books of these offices, with a fixed number of queries."""
    books = {
        office.pk: OfficeBooks(
            anchor=office.billing_cycle_anchor_date,
            first_cycle_opened_at=office.first_cycle_opened_at,
            parked_at=office.parked_at,
        )
        for office in offices
    }
    _add_terms(books)
    _add_counts(books)
    for cycle in BillingCycle.objects.filter(office__among=list(books)):
        books[cycle.office_id].cycles[cycle.key] = _cycle(cycle)
    _add_invoices(books)
    return books


def _add_terms(books: dict[UUID, OfficeBooks]) -> None:
    ids = list(books)
    for status in OfficeStatusChange.objects.filter(office__among=ids):
        books[status.office_id].statuses[status.effective_at] = status.status
    for zone in OfficeZone.objects.filter(office__among=ids):
        books[zone.office_id].zones[zone.effective_at] = zone.timezone
    for plan in OfficePlan.objects.filter(office__among=ids).select_related("plan"):
        books[plan.office_id].plans[plan.effective_at] = plan.plan.code
    for price in PriceOverride.objects.filter(office__among=ids).order_by("created_at", "pk"):
        books[price.office_id].overrides.append((price.unit_price_cents, price.starts_on, price.ends_on))


def _add_counts(books: dict[UUID, OfficeBooks]) -> None:
    ids = list(books)
    for office_id in OfficeStripeAccount.objects.filter(office__among=ids).values_list("office", flat=True):
        books[office_id].has_customer = True
    periods = ActivityPeriod.objects.filter(office__among=ids).order_by().values_list("office")
    for office_id, number in periods.annotate(number=Count("pk")):
        books[office_id].periods = number


def _cycle(cycle: BillingCycle) -> CycleBook:
    return CycleBook(
        index=cycle.index,
        start_at=cycle.start_at,
        end_at=cycle.end_at,
        zone=cycle.zone,
        status=cycle.status,
        plan=cycle.plan_id,
        unit_price_cents=cycle.unit_price_cents,
        closed_at=cycle.closed_at,
        patients=cycle.patient_count,
        last_period=cycle.last_period_id,
    )


def _add_invoices(books: dict[UUID, OfficeBooks]) -> None:
    invoices = Invoice.objects.filter(office__among=list(books)).select_related("cycle").defer("internal_note")
    lines = _lines(Invoice.objects.filter(office__among=list(books), closed_at__isnull=False))
    for invoice in invoices:
        book = InvoiceBook(
            invoice_type=invoice.invoice_type,
            cycle=invoice.cycle.key if invoice.cycle else None,
            origin=invoice.origin,
            status=invoice.status,
            sent_at=invoice.sent_at,
            paid_at=invoice.paid_at,
            failed_at=invoice.failed_at,
            canceled_at=invoice.canceled_at,
        )
        if invoice.closed_at is not None:
            book.closed_at, book.currency, book.total_cents = invoice.closed_at, invoice.currency, invoice.total_cents
            book.lines, book.live_lines, book.lines_total_cents = lines[invoice.pk]
        books[invoice.office_id].invoices[str(invoice.pk)] = book


def _lines(invoices: QuerySet[Invoice]) -> dict[UUID, tuple[int, int, int]]:
    """Return (lines, live lines, cents) by closed invoice."""
    found: dict[UUID, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    rows = LineItem.objects.filter(invoice__in=invoices).order_by().values_list("invoice")
    totals = rows.annotate(number=Count("pk"), owed=Count("pk", filter=Q(live=True)), cents=Sum(LINE_TOTAL))
    for invoice_id, number, owed, cents in totals:
        found[invoice_id] = (number, owed, cents)
    return found
