"""One invoice that explains itself: its lines with their prices, totals by type, payments and the payable link.

A fixed number of queries, whatever the number of lines. The link is decrypted here and nowhere else in the API.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, UUIDField

from audit.compiled import Parameter, Statement
from billing.api.invoice_rows import Row, invoice_rows, line_rows
from billing.models import BillingCycle, HostedInvoicePage, Payment
from offices.models import OfficeStatus

_PAYMENT_COLUMNS = ("status", "amount_requested_cents", "amount_paid_cents", "currency", "paid_at", "recorded_at")


def invoice_detail(office_id: UUID, invoice_id: UUID) -> Row | None:
    """Return one invoice with all that explains it, or None when the office has no such invoice."""
    row = invoice_rows(office_id).filter(pk=invoice_id).first()
    if row is None:
        return None
    lines = explained(line_rows(invoice=invoice_id).order_by("cycle_key", "item_type", "created_at", "id"))
    page = HostedInvoicePage.objects.filter(invoice=invoice_id).only("url").first()
    return {
        **row,
        "line_items": lines,
        "totals": totals(lines),
        "payments": list(_payments(invoice_id)),
        "hosted_invoice_url": page.url if page else None,
    }


def explained(lines: Iterable[Row]) -> list[Row]:
    """Return the lines, each with the terms its price comes from: those frozen in the cycle it charges for."""
    listed = list(lines)
    terms = _terms(listed)
    return [{**line, "price": terms.get((line["office_id"], line["cycle_key"]))} for line in listed]


def totals(lines: Sequence[Row]) -> list[Row]:
    """Add the lines up by type, in the order in which the types occur."""
    by_type: dict[str, Row] = {}
    for line in lines:
        sums = by_type.setdefault(line["item_type"], {"item_type": line["item_type"], "quantity": 0, "total_cents": 0})
        sums["quantity"] += line["quantity"]
        sums["total_cents"] += line["total_cents"]
    return list(by_type.values())


def _terms(lines: Sequence[Row]) -> dict[tuple[UUID, str | None], Row]:
    keys = {line["cycle_key"] for line in lines if line["cycle_key"]}
    if not keys:
        return {}
    (office,) = {line["office_id"] for line in lines}
    cycles = _TERMS.rows(office=office, first=min(keys), last=max(keys))
    return {(office, cycle["key"]): _price(cycle) for cycle in cycles}


def _cycles_between() -> Any:
    office, (first, last) = (
        Parameter("office", UUIDField()),
        (Parameter(name, CharField()) for name in ("first", "last")),
    )
    return BillingCycle.objects.filter(office=office, key__gte=first, key__lte=last).values(
        "key",
        "status",
        version_on=F("price_version__effective_on"),
        override_on=F("price_override__starts_on"),
        override_until=F("price_override__ends_on"),
    )


_TERMS = Statement(_cycles_between)


def _price(cycle: Mapping[str, Any]) -> Row:
    """Say which of the three a cycle's price is: none in a trial, the office's own, or the plan's."""
    if cycle["status"] == OfficeStatus.TRIALING:
        return {"source": "trial", "effective_on": None, "ends_on": None}
    if cycle["override_on"] is not None:
        return {"source": "office", "effective_on": cycle["override_on"], "ends_on": cycle["override_until"]}
    return {"source": "plan", "effective_on": cycle["version_on"], "ends_on": None}


def _payments(invoice_id: UUID) -> Any:
    return Payment.objects.filter(invoice=invoice_id).order_by("recorded_at", "pk").values(*_PAYMENT_COLUMNS)
