"""Ours and Stripe's, side by side: every invoice's status, total and owner, read from Stripe's own books."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from billing.models import Invoice, InvoiceStatus
from sandbox.stripe_standin import StripeStandIn

_STATUS_OF = {
    "draft": InvoiceStatus.DRAFT,
    "paid": InvoiceStatus.PAID,
    "void": InvoiceStatus.CANCELED,
    "uncollectible": InvoiceStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One invoice of which we and Stripe do not say the same."""

    invoice: str
    field: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many invoices stand on both sides, and where they differ."""

    compared: int
    differences: tuple[Difference, ...]


def compare(standin: StripeStandIn) -> Comparison:
    """Compare all invoices both ways: each of ours that Stripe must know, and each that Stripe has."""
    theirs = {row["metadata"].get("invoice_id", row["id"]): row for row in standin.objects("invoice")}
    known = Invoice.objects.filter(closed_at__isnull=False, total_cents__gt=0).defer("internal_note")
    ours = {str(invoice.pk): invoice for invoice in known}
    found = list(_one_sided(ours.keys(), theirs.keys()))
    both = ours.keys() & theirs.keys()
    for key in sorted(both):
        found += _between(ours[key], theirs[key])
    duplicated = len(standin.objects("invoice")) - len(theirs)
    if duplicated:
        found.append(Difference("", "duplicates", "0", str(duplicated)))
    return Comparison(len(both), tuple(found))


def _one_sided(ours: Iterable[str], theirs: Iterable[str]) -> Iterable[Difference]:
    for key in sorted(set(ours) - set(theirs)):
        yield Difference(key, "existence", "closed", "unknown")
    for key in sorted(set(theirs) - set(ours)):
        yield Difference(key, "existence", "unknown", "there")


def _between(invoice: Invoice, row: Mapping[str, Any]) -> list[Difference]:
    pairs = {
        "status": (invoice.status, _our_word(row)),
        "total": (str(invoice.total_cents), str(row["total"])),
        "currency": (invoice.currency.lower(), row["currency"]),
        "id": (invoice.stripe_invoice_id or "", row["id"]),
    }
    return [Difference(str(invoice.pk), field, *pair) for field, pair in pairs.items() if pair[0] != pair[1]]


def _our_word(row: Mapping[str, Any]) -> str:
    """Return what our status should be; written anew here, so that it does not repeat the product's own mistake."""
    if row["status"] == "open":
        return InvoiceStatus.FAILED if row["attempt_count"] else InvoiceStatus.SENT
    return _STATUS_OF[row["status"]]
