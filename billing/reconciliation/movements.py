"""Everything that raises or lowers what is owed, with its month: from our rows, and from what Stripe showed.

Money that goes back is no debt again: a refund lowers what was paid and counts as credited, a lost dispute lowers what
was paid and counts as written off. What was paid too much is held for the office and stands beside the balance.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Greatest, TruncMonth

from billing.models import (
    REFUNDS_OUT,
    CopyKind,
    CreditNote,
    CreditNoteStatus,
    Dispute,
    DisputeStatus,
    Invoice,
    InvoiceStatus,
    Payment,
    PaymentStatus,
    ReconciliationRun,
    Refund,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)
from offices.models import OfficeStripeAccount


@dataclass(frozen=True, slots=True)
class Movement:
    """Cents of one column in one month."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("billed", "credited", "paid", "written_off")

    month: str
    column: str
    cents: int


def ours_of(office_id: UUID | None) -> Iterator[Movement]:
    """Yield the movements of our books."""
    about = Q() if office_id is None else Q(office=office_id)
    money = Q() if office_id is None else Q(invoice__office=office_id)
    invoices = Invoice.objects.filter(about, closed_at__isnull=False, total_cents__gt=0)
    yield from _billed(invoices)
    notes = CreditNote.objects.filter(money, status=CreditNoteStatus.ISSUED)
    yield from _moved(notes, "issued_at", Sum("before_payment_cents"), "credited")
    yield from _given_back(notes, "issued_at", Sum("out_of_band_cents"))
    yield from _given_back(Refund.objects.filter(money, status__in=REFUNDS_OUT), "refunded_at", Sum("amount_cents"))
    lost = Dispute.objects.filter(money, status=DisputeStatus.LOST)
    yield from _given_back(lost, "opened_at", Sum("amount_cents"), column="written_off")
    paid = Payment.objects.filter(money, status=PaymentStatus.PAID)
    yield from _moved(paid, "paid_at", Sum("amount_paid_cents"), "paid")
    owed = invoices.annotate(owed=Greatest(F("total_cents") - _paid_of() - _credited_of(), 0))
    yield from _moved(owed.filter(status=InvoiceStatus.CANCELED), "canceled_at", Sum("owed"), "credited")
    written_off = owed.filter(status=InvoiceStatus.FAILED, written_off_at__isnull=False)
    yield from _moved(written_off, "written_off_at", Sum("owed"), "written_off")


def theirs_of(office_id: UUID | None) -> Iterator[Movement]:
    """Yield the movements of Stripe's books, as it last showed them; a draft claims nothing yet."""
    invoices = _shown(StripeInvoiceCopy.objects.exclude(status__in=["draft", ""]))
    if office_id is not None:
        index = OfficeStripeAccount.objects.filter(office=office_id).values("customer_index")
        invoices = invoices.filter(customer_index__in=index)
    yield from _billed_there(invoices)
    money = _shown(StripeMoneyCopy.objects.filter(unreadable_field=""))
    by_invoice = money.filter(stripe_invoice_id__in=invoices.values("pk"))
    payments = by_invoice.filter(kind=CopyKind.PAYMENT, status=PaymentStatus.PAID)
    yield from _moved(payments, "moved_at", Sum("amount_cents"), "paid")
    notes = by_invoice.filter(kind=CopyKind.CREDIT_NOTE, status=CreditNoteStatus.ISSUED)
    yield from _moved(notes, "moved_at", Sum("before_payment_cents"), "credited")
    yield from _given_back(notes, "moved_at", Sum("out_of_band_cents"))
    by_payment = money.filter(payment_intent_id__in=payments.exclude(payment_intent_id="").values("payment_intent_id"))
    refunds = by_payment.filter(kind=CopyKind.REFUND, status__in=REFUNDS_OUT)
    yield from _given_back(refunds, "moved_at", Sum("amount_cents"))
    lost = by_payment.filter(kind=CopyKind.DISPUTE, status=DisputeStatus.LOST)
    yield from _given_back(lost, "moved_at", Sum("amount_cents"), column="written_off")
    outside = invoices.filter(status="paid").annotate(outside=Greatest(F("amount_paid_cents") - _paid_there(), 0))
    yield from _moved(outside, "paid_at", Sum("outside"), "paid")
    owed = invoices.annotate(owed=Greatest(F("total_cents") - F("amount_paid_cents") - F("credited_cents"), 0))
    yield from _moved(owed.filter(status="void"), "voided_at", Sum("owed"), "credited")
    yield from _moved(owed.filter(status="uncollectible"), "written_off_at", Sum("owed"), "written_off")


def _shown(copies: QuerySet[Any]) -> QuerySet[Any]:
    """Leave out what a complete run has not seen any more: it vanished at Stripe."""
    whole = ReconciliationRun.objects.filter(
        finished_at__isnull=False, cycle_key="", office__isnull=True, since__isnull=True
    )
    last = whole.order_by("-started_at").first()
    return copies if last is None else copies.filter(seen_at__gte=last.started_at)


def _billed(invoices: QuerySet[Invoice]) -> Iterator[Movement]:
    """An invoice is billed in the month it is for; what is for no month, in that of its close."""
    monthly = invoices.filter(cycle__isnull=False).order_by().values_list("cycle__key")
    yield from (Movement(month, "billed", cents) for month, cents in monthly.annotate(cents=Sum("total_cents")))
    others = invoices.filter(cycle__isnull=True)
    yield from _moved(others, "closed_at", Sum("total_cents"), "billed")


def _billed_there(invoices: QuerySet[Any]) -> Iterator[Movement]:
    monthly = invoices.exclude(own_cycle_key="").order_by().values_list("own_cycle_key")
    yield from (Movement(month, "billed", cents) for month, cents in monthly.annotate(cents=Sum("total_cents")))
    yield from _moved(invoices.filter(own_cycle_key=""), "created", Sum("total_cents"), "billed")


def _given_back(rows: QuerySet[Any], moment: str, cents: Sum, column: str = "credited") -> Iterator[Movement]:
    for movement in _moved(rows, moment, cents, column):
        yield movement
        yield Movement(movement.month, "paid", -movement.cents)


def _moved(rows: QuerySet[Any], moment: str, cents: Sum, column: str) -> Iterable[Movement]:
    by_month = rows.filter(**{f"{moment}__isnull": False}).order_by().annotate(month=TruncMonth(moment, tzinfo=UTC))
    sums: Iterable[tuple[datetime, int]] = by_month.values_list("month").annotate(cents=cents)
    return [Movement(f"{month:%Y-%m}", column, number) for month, number in sums if number]


def _paid_of() -> Coalesce:
    rows = Payment.objects.filter(invoice=OuterRef("pk"), status=PaymentStatus.PAID)
    return _sum_of(rows, "invoice", "amount_paid_cents")


def _credited_of() -> Coalesce:
    rows = CreditNote.objects.filter(invoice=OuterRef("pk"), status=CreditNoteStatus.ISSUED)
    return _sum_of(rows, "invoice", "before_payment_cents")


def _paid_there() -> Coalesce:
    rows = StripeMoneyCopy.objects.filter(
        stripe_invoice_id=OuterRef("pk"), kind=CopyKind.PAYMENT, status=PaymentStatus.PAID
    )
    return _sum_of(rows, "stripe_invoice_id", "amount_cents")


def _sum_of(rows: QuerySet[Any], group: str, cents: str) -> Coalesce:
    sums = rows.order_by().values(group).annotate(cents=Sum(cents)).values("cents")
    return Coalesce(Subquery(sums), Value(0))
