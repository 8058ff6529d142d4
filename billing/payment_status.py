"""Stripe's state becomes our status: the one place where a status changes after closing (product.md, "Invoice life").

Every change is one guarded move with its audit entry. Stripe owns whether an invoice is paid; a move that is not
allowed (late news of a paid invoice) changes nothing.
"""

from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Least

from audit.chain import Fact, record
from audit.seal import PayloadValue, instant
from billing.models import (
    ALLOWED_MOVES,
    BillingCycle,
    HostedInvoicePage,
    Invoice,
    InvoiceStatus,
    LineItem,
    MonthClose,
)
from billing.payment_rows import record_payments
from billing.stripe_gateway.inbound import InboundInvoice, InvoiceState
from offices.audit_stream import office_stream
from offices.locking import lock_offices
from offices.models import Office

_STATUS_OF = {
    InvoiceState.DRAFT: InvoiceStatus.DRAFT,
    InvoiceState.PAID: InvoiceStatus.PAID,
    InvoiceState.VOID: InvoiceStatus.CANCELED,
    # Written off at Stripe; it can still be paid or voided there later.
    InvoiceState.UNCOLLECTIBLE: InvoiceStatus.FAILED,
}
_TIMESTAMP_OF = {
    InvoiceStatus.SENT: "sent_at",
    InvoiceStatus.PAID: "paid_at",
    InvoiceStatus.FAILED: "failed_at",
    InvoiceStatus.CANCELED: "canceled_at",
}

_OFFICES_AT_ONCE = 500
_STATE_FIELDS = ("status", "stripe_invoice_id", "due_at", "attempt_count", "overpaid_cents", "written_off_at")


class InvoiceDiffers(Exception):
    """Stripe's invoice is not the one we sent: another total, currency or owner. Our books stay as they are."""


class VersionChanged(Exception):
    """The invoice changed since its version was read: fetch Stripe's present state again."""

    code = "version_changed"


def status_of(seen: InboundInvoice) -> InvoiceStatus:
    """Return our status for Stripe's: open is sent, and failed after a failed attempt."""
    if seen.status == InvoiceState.OPEN:
        return InvoiceStatus.FAILED if seen.attempt_count > 0 else InvoiceStatus.SENT
    return _STATUS_OF[seen.status]


def apply(
    *, invoice_id: UUID, seen: InboundInvoice, actor: str, now: datetime, read_version: int | None = None
) -> InvoiceStatus:
    """Bring the invoice to what Stripe says of it now and return its status; the caller holds the office lock.

    `read_version` is the version read before Stripe was asked. Raises InvoiceDiffers, VersionChanged.
    """
    invoice = Invoice.objects.select_related("office").defer("internal_note").get(pk=invoice_id)
    if read_version is not None and invoice.version != read_version:
        raise VersionChanged("the invoice changed while Stripe was asked")
    _check_same(invoice, seen)
    before = _state(invoice)
    target = status_of(seen)
    if target == InvoiceStatus.CANCELED and month_is_locked(invoice):
        target = InvoiceStatus(invoice.status)  # reconciliation tells of it: a locked month is corrected by credits
    for status in _moves(InvoiceStatus(invoice.status), target):
        paid_at = _time(seen.paid_at) if status == InvoiceStatus.PAID else None
        _move(invoice, status, paid_at or now, {"stripe": seen.status.value}, actor=actor, now=now)
    invoice.stripe_invoice_id = str(seen.id)
    invoice.due_at = _time(seen.due_date) or invoice.due_at
    invoice.attempt_count = max(invoice.attempt_count, seen.attempt_count)
    invoice.overpaid_cents = max(invoice.overpaid_cents, seen.overpaid_cents)
    invoice.written_off_at = _time(seen.marked_uncollectible_at) or invoice.written_off_at
    if before != _state(invoice):
        invoice.version += 1
        invoice.updated_at = now
        invoice.save(update_fields=[*_TIMESTAMP_OF.values(), *_STATE_FIELDS, "version", "updated_at"])
    if invoice.status == InvoiceStatus.CANCELED:
        _owe_no_more(invoice)
    record_payments(invoice, seen, actor=actor, now=now)
    _record_hosted_page(invoice, seen, now)
    refresh_past_due([invoice.office_id], now=now)
    return InvoiceStatus(invoice.status)


def cancel_unsent(invoice: Invoice, *, actor: str, now: datetime) -> None:
    """Cancel a closed draft of which nothing was sent; the caller holds the office lock and took its message back."""
    if invoice.status != InvoiceStatus.DRAFT:
        raise VersionChanged("the invoice was sent meanwhile")
    _move(invoice, InvoiceStatus.CANCELED, now, {"reason": "not_sent"}, actor=actor, now=now)
    invoice.version += 1
    invoice.updated_at = now
    invoice.save(update_fields=["status", "canceled_at", "version", "updated_at"])
    _owe_no_more(invoice)


def _owe_no_more(invoice: Invoice) -> None:
    """What a canceled invoice charged is owed no more, and may be charged again (decisions.md 15)."""
    LineItem.objects.filter(invoice=invoice, live=True).update(live=False)


def month_is_locked(invoice: Invoice) -> bool:
    """Say whether two people have signed the month of the invoice: it is canceled no more (decisions.md 41)."""
    if invoice.cycle_id is None:
        return False
    cycle = BillingCycle.objects.filter(pk=invoice.cycle_id).values("key")
    return MonthClose.objects.filter(key__in=cycle, locked_at__isnull=False).exists()


def _state(invoice: Invoice) -> tuple[object, ...]:
    return tuple(getattr(invoice, field) for field in _STATE_FIELDS)


def _check_same(invoice: Invoice, seen: InboundInvoice) -> None:
    same_document = seen.own_invoice_id == invoice.pk and invoice.stripe_invoice_id in {None, str(seen.id)}
    same_money = seen.total_cents == invoice.total_cents and seen.currency.value == invoice.currency.lower()
    # A draft at Stripe is still being built by our own delivery.
    if not same_document or not (same_money or seen.status == InvoiceState.DRAFT):
        raise InvoiceDiffers("Stripe's invoice is not the one we sent")


def _moves(present: InvoiceStatus, target: InvoiceStatus) -> list[InvoiceStatus]:
    """Return the moves from here to there; empty when there is nothing to do or the way is barred."""
    if target in {present, InvoiceStatus.DRAFT}:
        return []
    if present == InvoiceStatus.DRAFT and target in {InvoiceStatus.PAID, InvoiceStatus.FAILED}:
        # Seen paid before our own "sent": walk both in one transaction (decisions.md 14).
        return [InvoiceStatus.SENT, target]
    return [target] if target in ALLOWED_MOVES[present] else []


def _move(
    invoice: Invoice, status: InvoiceStatus, at: datetime, why: dict[str, PayloadValue], *, actor: str, now: datetime
) -> None:
    payload = {"invoice": str(invoice.pk), "from": invoice.status, "to": status, "since": instant(at), **why}
    invoice.status = status
    setattr(invoice, _TIMESTAMP_OF[status], at)
    record(Fact(office_stream(invoice.office.reference), "invoice.status_changed", payload), actor=actor, now=now)


def _record_hosted_page(invoice: Invoice, seen: InboundInvoice, now: datetime) -> None:
    if seen.hosted_invoice_url and not HostedInvoicePage.objects.filter(invoice=invoice).exists():
        HostedInvoicePage.objects.create(invoice=invoice, url=seen.hosted_invoice_url, updated_at=now)


def refresh_past_due(office_ids: list[UUID] | None = None, *, now: datetime) -> int:
    """Derive `past_due_since` of these offices, or of all, from their unpaid invoices; return how many changed.

    Past due: an invoice that failed, or that is sent and past its due date (decisions.md 8).
    """
    unpaid = Invoice.objects.filter(office=OuterRef("pk")).filter(
        Q(status=InvoiceStatus.FAILED) | Q(status=InvoiceStatus.SENT, due_at__lt=now)
    )
    since = (
        unpaid.order_by()
        .values("office")
        .annotate(since=Min(Least(Coalesce("due_at", "failed_at"), Coalesce("failed_at", "due_at"))))
        .values("since")
    )
    offices = Office.objects.filter(Q(past_due_since__isnull=False) | Exists(unpaid))
    if office_ids is not None:
        offices = offices.filter(pk__in=office_ids)
    present = offices.annotate(since=Subquery(since))
    changed = present.exclude(
        Q(since__isnull=True, past_due_since__isnull=True) | Q(since__isnull=False, past_due_since=Subquery(since))
    )
    ids, updated = list(changed.order_by("pk").values_list("pk", flat=True)), 0
    for start in range(0, len(ids), _OFFICES_AT_ONCE):
        with transaction.atomic():
            # An office that somebody holds is left for the next time.
            locked = lock_offices(ids[start : start + _OFFICES_AT_ONCE], skip_locked=True)
            mine = Office.objects.filter(pk__in=[office.pk for office in locked])
            updated += mine.update(past_due_since=Subquery(since))
    return updated


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
