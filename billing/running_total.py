"""What the open months of an office come to so far: counts and sums by charge, in one question."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Sum

from billing.models import LINE_TOTAL, InvoiceStatus, InvoiceType, ItemType, LineItem


@dataclass(frozen=True, slots=True)
class RunningCharge:
    """One kind of charge in one open month: how many, and the cents they come to."""

    month: str
    item_type: ItemType
    quantity: int
    total_cents: int


def running_charges(office_id: UUID) -> Sequence[RunningCharge]:
    """Return the charges of the office's open monthly invoices, the oldest month first."""
    lines = LineItem.objects.filter(
        invoice__office=office_id,
        invoice__invoice_type=InvoiceType.MONTHLY,
        invoice__status=InvoiceStatus.DRAFT,
        invoice__closed_at__isnull=True,
        live=True,
    )
    grouped = lines.order_by("invoice__cycle__key", "item_type").values("invoice__cycle__key", "item_type")
    return [
        RunningCharge(row["invoice__cycle__key"], ItemType(row["item_type"]), row["number"], row["total"])
        for row in grouped.annotate(total=Sum(LINE_TOTAL), number=Sum("quantity"))
    ]
