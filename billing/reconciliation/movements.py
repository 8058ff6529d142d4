"""Everything that raises or lowers what is owed, with its month: from our rows, and from what Stripe showed.

Money that goes back is no debt again: a refund lowers what was paid and counts as credited, a lost dispute lowers what
was paid and counts as written off. What was paid too much is held for the office and stands beside the balance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum, Value
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
    """Yield the movements of our books, in two queries."""
    about = Q() if office_id is None else Q(office=office_id)
    money = Q() if office_id is None else Q(invoice__office=office_id)
    invoices = Invoice.objects.filter(about, closed_at__isnull=False, total_cents__gt=0)
    notes = CreditNote.objects.filter(money, status=CreditNoteStatus.ISSUED)
    refunds = Refund.objects.filter(money, status__in=REFUNDS_OUT)
    lost = Dispute.objects.filter(money, status=DisputeStatus.LOST)
    paid = Payment.objects.filter(money, status=PaymentStatus.PAID)
    owed = invoices.annotate(owed=Greatest(F("total_cents") - _paid_of() - _credited_of(), 0))
    yield from _billed(invoices.filter(cycle__isnull=False), "cycle__key")
    yield from _moved(
        # For no month, so in that of its close.
        _Part(invoices.filter(cycle__isnull=True), "closed_at", Sum("total_cents"), _BILLED),
        _Part(notes, "issued_at", Sum("before_payment_cents"), _CREDITED),
        _Part(notes, "issued_at", Sum("out_of_band_cents"), _GIVEN_BACK),
        _Part(refunds, "refunded_at", Sum("amount_cents"), _GIVEN_BACK),
        _Part(lost, "opened_at", Sum("amount_cents"), _LOST),
        _Part(paid, "paid_at", Sum("amount_paid_cents"), _PAID),
        _Part(owed.filter(status=InvoiceStatus.CANCELED), "canceled_at", Sum("owed"), _CREDITED),
        _Part(
            owed.filter(status=InvoiceStatus.FAILED, written_off_at__isnull=False),
            "written_off_at",
            Sum("owed"),
            _WRITTEN_OFF,
        ),
    )


def theirs_of(office_id: UUID | None) -> Iterator[Movement]:
    """Yield the movements by what Stripe showed when it was last listed, in three queries."""
    shown = _shown()
    invoices = StripeInvoiceCopy.objects.filter(shown).exclude(status__in=["draft", ""])
    if office_id is not None:
        index = OfficeStripeAccount.objects.filter(office=office_id).values("customer_index")
        invoices = invoices.filter(customer_index__in=index)
    money = StripeMoneyCopy.objects.filter(shown, unreadable_field="")
    by_invoice = money.filter(stripe_invoice_id__in=invoices.values("pk"))
    payments = by_invoice.filter(kind=CopyKind.PAYMENT, status=PaymentStatus.PAID)
    notes = by_invoice.filter(kind=CopyKind.CREDIT_NOTE, status=CreditNoteStatus.ISSUED)
    by_payment = money.filter(payment_intent_id__in=payments.exclude(payment_intent_id="").values("payment_intent_id"))
    refunds = by_payment.filter(kind=CopyKind.REFUND, status__in=REFUNDS_OUT)
    lost = by_payment.filter(kind=CopyKind.DISPUTE, status=DisputeStatus.LOST)
    outside = invoices.filter(status="paid").annotate(outside=Greatest(F("amount_paid_cents") - _paid_there(), 0))
    owed = invoices.annotate(owed=Greatest(F("total_cents") - F("amount_paid_cents") - F("credited_cents"), 0))
    yield from _billed(invoices.exclude(own_cycle_key=""), "own_cycle_key")
    yield from _moved(
        _Part(invoices.filter(own_cycle_key=""), "created", Sum("total_cents"), _BILLED),
        _Part(payments, "moved_at", Sum("amount_cents"), _PAID),
        _Part(notes, "moved_at", Sum("before_payment_cents"), _CREDITED),
        _Part(notes, "moved_at", Sum("out_of_band_cents"), _GIVEN_BACK),
        _Part(refunds, "moved_at", Sum("amount_cents"), _GIVEN_BACK),
        _Part(lost, "moved_at", Sum("amount_cents"), _LOST),
        _Part(outside, "paid_at", Sum("outside"), _PAID),
        _Part(owed.filter(status="void"), "voided_at", Sum("owed"), _CREDITED),
        _Part(owed.filter(status="uncollectible"), "written_off_at", Sum("owed"), _WRITTEN_OFF),
    )


# What a cent of a part adds to which column.
_BILLED, _PAID, _CREDITED, _WRITTEN_OFF = {"billed": 1}, {"paid": 1}, {"credited": 1}, {"written_off": 1}
_GIVEN_BACK, _LOST = {"credited": 1, "paid": -1}, {"written_off": 1, "paid": -1}


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that move money, the field that says when, what to add up, and the columns that it enters."""

    rows: QuerySet[Any]
    moment: str
    cents: Sum
    columns: Mapping[str, int]

    def by_month(self, number: int) -> QuerySet[Any]:
        """Return (number, month, cents); the number tells the parts of a union apart."""
        moved = self.rows.filter(**{f"{self.moment}__isnull": False}).order_by()
        named = moved.annotate(
            part=Value(number, output_field=IntegerField()), month=TruncMonth(self.moment, tzinfo=UTC)
        )
        summed: QuerySet[Any] = named.values_list("part", "month").annotate(cents=self.cents)
        return summed


def _shown() -> Q:
    """Leave out what a complete run has not seen any more: it vanished at Stripe."""
    whole = ReconciliationRun.objects.filter(
        # A window of time that Stripe was asked for: the nightly check of the books against the log has none.
        window_until__gt=F("window_from"),
        finished_at__isnull=False,
        cycle_key="",
        office__isnull=True,
        since__isnull=True,
    )
    last = whole.order_by("-started_at").first()
    return Q() if last is None else Q(seen_at__gte=last.started_at)


def _billed(invoices: QuerySet[Any], key: str) -> Iterator[Movement]:
    """An invoice is billed in the month it is for."""
    monthly = invoices.order_by().values_list(key).annotate(cents=Sum("total_cents"))
    yield from (Movement(month, "billed", cents) for month, cents in monthly)


def _moved(*parts: _Part) -> Iterator[Movement]:
    """Read all parts at once: a page that shows them asks one question, however many kinds of movement there are."""
    first, *others = [part.by_month(number) for number, part in enumerate(parts)]
    for number, month, cents in first.union(*others, all=True):
        for column, sign in parts[number].columns.items() if cents else ():
            yield Movement(f"{month:%Y-%m}", column, sign * cents)


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
