"""Our invoice beside Stripe's: every difference, typed, with what both sides say. Pure: no clock, no table, no network.

A mistake is told once. What the document says (its owner, its texts, its lines) is judged part by part; a line that
differs explains a total that differs, another currency makes amounts incomparable, and of the money only the first
difference is told that explains the others (`compare_money.py`).
"""

from collections.abc import Iterator
from dataclasses import replace

from billing.discrepancies import Evidence
from billing.models import DiscrepancyKind, InvoiceStatus, RepairKind
from billing.reconciliation import compare_money
from billing.reconciliation.compare_lines import what_differs
from billing.reconciliation.finding import Finding
from billing.reconciliation.sides import Line, Ours, Theirs

Kind = DiscrepancyKind

# A field of a reply that does not fit our types: which difference it is. Any other one is told as changed text.
_KIND_OF_FIELD = {
    "currency": Kind.CURRENCY,
    "customer": Kind.CUSTOMER,
    "metadata": Kind.METADATA_CHANGED,
    "total": Kind.TOTAL,
    "amount": Kind.TOTAL,
}
# Metadata is a difference of its own, so it is not told as text.
_METADATA = "metadata"


def compare(ours: Ours, theirs: Theirs | None) -> tuple[Finding, ...]:
    """Return every difference of one invoice; empty when both sides say the same."""
    if theirs is None:
        return tuple(_absent(ours))
    if theirs.unreadable_field:
        kind = _KIND_OF_FIELD.get(theirs.unreadable_field, Kind.TEXT_CHANGED)
        about: Evidence = {"stripe": theirs.id, "unreadable": theirs.unreadable_field}
        return (_finding(ours, kind, RepairKind.LOOK, theirs=about),)
    if compare_money.is_under_way(ours, theirs):
        return ()
    return tuple(_document(ours, theirs))


def _absent(ours: Ours) -> Iterator[Finding]:
    was_sent = ours.stripe_id is not None or ours.status not in {InvoiceStatus.DRAFT, InvoiceStatus.CANCELED}
    if ours.is_waiting or not was_sent:
        return
    kind = Kind.INVOICE_DELETED if ours.is_deleted_there else Kind.MISSING_AT_STRIPE
    yield _finding(ours, kind, RepairKind.SEND, amount=ours.total_cents, theirs={"status": "missing"})


def _document(ours: Ours, theirs: Theirs) -> Iterator[Finding]:
    if _metadata(theirs) != _own_metadata(ours) or _METADATA in theirs.foreign_fields:
        yield _finding(ours, Kind.METADATA_CHANGED, RepairKind.LOOK, theirs=_metadata(theirs))
    if theirs.customer_index != ours.customer_index:
        yield _finding(ours, Kind.CUSTOMER, RepairKind.LOOK, amount=theirs.total_cents, theirs={"customer": "other"})
    texts = [name for name in theirs.foreign_fields if name != _METADATA]
    if texts:
        words: Evidence = {"fields": texts, "codes": list(theirs.foreign_codes)}
        yield _finding(ours, Kind.TEXT_CHANGED, RepairKind.LOOK, theirs=words)
    if theirs.currency.upper() != ours.currency.upper():
        yield _finding(ours, Kind.CURRENCY, RepairKind.LOOK, theirs={"currency": theirs.currency.upper()})
        return
    yield from _amounts(ours, theirs)
    verdict = compare_money.settle(ours, theirs)
    if verdict is not None:
        kind, repair = verdict
        yield _finding(ours, kind, repair, amount=_at_stake(ours, theirs), theirs=money_there(theirs))


def _amounts(ours: Ours, theirs: Theirs) -> Iterator[Finding]:
    """Lines before the total: what differs in a line differs in the sum. A draft is still being built."""
    if theirs.status == "draft":
        return
    kind = None if ours.lines is None else what_differs(ours.lines, theirs.lines)
    if kind is None and theirs.total_cents != ours.total_cents:
        kind = Kind.TOTAL
    if kind is None:
        return
    repair = RepairKind.REPLACE if ours.status != InvoiceStatus.PAID else RepairKind.CREDIT
    there: Evidence = {"total_cents": theirs.total_cents, "lines": [_told(line) for line in theirs.lines]}
    found = _finding(ours, kind, repair, amount=abs(theirs.total_cents - ours.total_cents), theirs=there)
    yield replace(found, ours={**found.ours, "lines": [_told(line) for line in ours.lines or ()]})


def _told(line: Line) -> str:
    return f"{line.item_type or 'unknown'}:{line.quantity}x{line.unit_price_cents}"


def _at_stake(ours: Ours, theirs: Theirs) -> int:
    return abs(_kept(theirs.paid_cents + theirs.overpaid_cents, theirs) - _kept(_paid(ours), ours)) or ours.total_cents


def _paid(ours: Ours) -> int:
    return ours.money.paid + ours.out_of_band_cents


def _kept(received: int, side: Ours | Theirs) -> int:
    return received - compare_money.gone_back(side.money.refunds)


def _own_metadata(ours: Ours) -> Evidence:
    return {"invoice": str(ours.id), "cycle": ours.cycle_key, "kind": ours.kind}


def _metadata(theirs: Theirs) -> Evidence:
    own = str(theirs.own_invoice_id) if theirs.own_invoice_id else ""
    return {"invoice": own, "cycle": theirs.own_cycle_key, "kind": theirs.own_kind}


def money_here(ours: Ours) -> Evidence:
    """Tell what our books say of the money."""
    return {
        "status": ours.status,
        "total_cents": ours.total_cents,
        "currency": ours.currency,
        "paid_cents": ours.money.paid,
        "out_of_band_cents": ours.out_of_band_cents,
        "overpaid_cents": ours.overpaid_cents,
        "refunded_cents": compare_money.gone_back(ours.money.refunds),
        "disputes": sorted(status for status, _cents in ours.money.disputes.values()),
        "credit_notes": len(ours.money.credit_notes),
    }


def money_there(theirs: Theirs) -> Evidence:
    """Tell what Stripe says of the money."""
    return {
        "stripe": theirs.id,
        "status": theirs.status,
        "total_cents": theirs.total_cents,
        "paid_cents": theirs.money.paid,
        "out_of_band_cents": theirs.out_of_band_cents,
        "overpaid_cents": theirs.overpaid_cents,
        "attempts": theirs.attempt_count,
        "refunded_cents": compare_money.gone_back(theirs.money.refunds),
        "disputes": sorted(status for status, _cents in theirs.money.disputes.values()),
        "credit_notes": len(theirs.money.credit_notes),
    }


def _finding(ours: Ours, kind: Kind, repair: RepairKind, *, theirs: Evidence, amount: int = 0) -> Finding:
    return Finding(
        kind=kind,
        subject=f"invoice:{ours.id}",
        repair=repair,
        amount_cents=amount,
        ours=money_here(ours),
        theirs=theirs,
        office_id=ours.office_id,
        invoice_id=ours.id,
        cycle_key=ours.month,
    )
