"""One invoice that explains itself: its lines with their prices, totals by type, its money's history, the payable link.

A fixed number of queries, whatever the number of lines. The link is decrypted here and nowhere else in the API.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, Sum, UUIDField

from audit.compiled import Parameter, Statement
from billing.api.invoice_rows import Row, invoice_rows, line_rows, shown_lines
from billing.api.payment_history import payment_history
from billing.models import LINE_TOTAL, BillingCycle, HostedInvoicePage
from offices.models import OfficeStatus

LINES_AT_MOST = 1_000  # of one answer, about half a megabyte; most offices have fewer patients than that


def invoice_detail(office_id: UUID, invoice_id: UUID, *, after: UUID | None = None) -> Row | None:
    """Return one invoice with all that explains it, or None when the office has no such invoice.

    `line_items` are at most LINES_AT_MOST, those after the line `after`; `more_after` is the last of them when there
    are more. The totals are those of all lines.
    """
    row = _INVOICE.first(office=office_id, invoice=invoice_id)
    if row is None:
        return None
    page = _lines(invoice_id, after)
    lines, is_whole = page[:LINES_AT_MOST], after is None and len(page) <= LINES_AT_MOST
    link = HostedInvoicePage.objects.filter(invoice=invoice_id).only("url").first()
    return {
        **row,
        "line_items": explained(sorted(lines, key=_position)),
        "more_after": lines[-1]["id"] if len(page) > LINES_AT_MOST else None,
        "totals": totals(lines) if is_whole else _TOTALS.rows(invoice=invoice_id),
        **payment_history(invoice_id),
        "hosted_invoice_url": link.url if link else None,
    }


def _lines(invoice_id: UUID, after: UUID | None) -> list[Row]:
    """Return a page and one line more, by id: ids grow, so a page does not shift while lines are added."""
    if after is None:
        return _FIRST_LINES.rows(invoice=invoice_id)
    return _LATER_LINES.rows(invoice=invoice_id, after=after)


def _position(line: Row) -> tuple[str, str, datetime, UUID]:
    return line["cycle_key"] or "", line["item_type"], line["created_at"], line["id"]


def explained(lines: Iterable[Row]) -> list[Row]:
    """Return the lines, each with the terms its price comes from: those frozen in the cycle it charges for."""
    listed = list(lines)
    terms = _terms(listed)
    return [{**line, "price": terms.get((line["office_id"], line["cycle_key"]))} for line in listed]


def totals(lines: Sequence[Row]) -> list[Row]:
    """Add the lines up by type, in the order of the types' names."""
    by_type: dict[str, Row] = {}
    for line in sorted(lines, key=itemgetter("item_type")):
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
    first, last = Parameter("first", CharField()), Parameter("last", CharField())
    between = BillingCycle.objects.filter(office=Parameter("office", UUIDField()), key__gte=first, key__lte=last)
    return between.values(
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


def _lines_by_id(**conditions: Parameter) -> Any:
    invoice = Parameter("invoice", UUIDField())
    return line_rows(invoice=invoice, **conditions).order_by("id")[: LINES_AT_MOST + 1]


def _totals_by_type() -> Any:
    # LINE_TOTAL first: an annotation called `quantity` would otherwise take the column's place in it.
    lines = shown_lines(invoice=Parameter("invoice", UUIDField())).order_by("item_type").values("item_type")
    return lines.annotate(total_cents=Sum(LINE_TOTAL)).annotate(quantity=Sum("quantity"))


_INVOICE = Statement(
    lambda: invoice_rows(Parameter("office", UUIDField())).filter(pk=Parameter("invoice", UUIDField()))
)
_FIRST_LINES = Statement(_lines_by_id)
_LATER_LINES = Statement(lambda: _lines_by_id(pk__gt=Parameter("after", UUIDField())))
_TOTALS = Statement(_totals_by_type)
