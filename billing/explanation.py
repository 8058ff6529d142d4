"""Where the total of an invoice comes from: what Stripe was told, each aggregate, each line, its rule and its price.

Reads what is frozen and adds it up again; nothing is taken on trust from the total that it explains.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.documents import DocumentUnreadable, InvoiceDocument, read_invoice
from billing.models import (
    LINE_TOTAL,
    BillingCycle,
    Invoice,
    ItemType,
    LineItem,
    MessageKind,
    OutboxMessage,
    StripeInvoiceCopy,
)
from offices.models import OfficeStatus
from patients.models import ActivityPeriod


class Rule(StrEnum):
    """Why a line is there."""

    CARRIED_OVER = "carried_over"
    BECAME_ACTIVE = "became_active"
    LATE = "late"
    ENDED_LATER = "ended_later"
    SINGLE = "single"


RULES: dict[Rule, str] = {
    Rule.CARRIED_OVER: "Active across the start of the month: charged as an active account.",
    Rule.BECAME_ACTIVE: "Became active within the month: charged as an activation.",
    Rule.LATE: "Active in that month, known only after it had closed: charged as an adjustment.",
    Rule.ENDED_LATER: "Was active when it was charged; an end that was written down later takes no line away.",
    Rule.SINGLE: "A charge for the office, not for an account.",
}


_RULE_OF = {ItemType.ACTIVE_PATIENT: Rule.CARRIED_OVER, ItemType.PATIENT_ACTIVATION: Rule.BECAME_ACTIVE}


@dataclass(frozen=True, slots=True)
class Aggregate:
    """All live lines of one type and price; `sent` is the quantity in the document for Stripe, None without one."""

    item_type: ItemType
    unit_price_cents: int
    quantity: int
    total_cents: int
    sent: int | None

    @property
    def agrees(self) -> bool:
        """Whether Stripe was told this very quantity; what costs nothing is not told."""
        return self.sent is None or self.sent == (self.quantity if self.unit_price_cents else 0)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The same total in four places, in cents; None where there is none yet. `shown_at`: when Stripe showed its own."""

    lines_total: int
    frozen_total: int | None
    document_total: int | None
    stripe_total: int | None
    shown_at: datetime | None
    aggregates: tuple[Aggregate, ...]

    @property
    def agrees(self) -> bool:
        """Whether all totals that are there are the same, and all aggregates."""
        totals = {self.lines_total, self.frozen_total, self.document_total, self.stripe_total} - {None}
        return len(totals) == 1 and all(each.agrees for each in self.aggregates)


@dataclass(frozen=True, slots=True)
class LineExplained:
    """One line, the rule it stands by, the activity that shows it, and the cycle whose frozen terms set its price."""

    line: LineItem
    rule: Rule
    since: datetime | None = None
    until: datetime | None = None
    cycle: BillingCycle | None = None

    @property
    def words(self) -> str:
        """The rule as a sentence."""
        return RULES[self.rule]

    @property
    def price_words(self) -> str:
        """Where the unit price comes from."""
        return "" if self.cycle is None else price_words(self.cycle)


def explain(invoice: Invoice) -> Explanation:
    """Add the invoice up from its lines and set it beside what was sent and shown, in three queries."""
    document = _document(invoice)
    sent = {(item.item_type, item.unit_price_cents): item.quantity for item in document.items} if document else None
    aggregates = tuple(_aggregates(invoice, sent))
    copy = None
    if invoice.stripe_invoice_id:
        copies = StripeInvoiceCopy.objects.filter(pk=invoice.stripe_invoice_id, unreadable_field="")
        copy = copies.values_list("total_cents", "seen_at").first()
    return Explanation(
        lines_total=sum(each.total_cents for each in aggregates),
        frozen_total=invoice.total_cents,
        document_total=document.total_cents if document else None,
        stripe_total=copy[0] if copy else None,
        shown_at=copy[1] if copy else None,
        aggregates=aggregates,
    )


def _document(invoice: Invoice) -> InvoiceDocument | None:
    """Return what was frozen for Stripe; None when nothing was, or when it cannot be trusted any more."""
    message = OutboxMessage.objects.filter(invoice=invoice, kind=MessageKind.INVOICE).first()
    if message is None:
        return None
    try:
        return read_invoice(message.payload, expected_digest=message.payload_digest)
    except DocumentUnreadable:
        return None


def _aggregates(invoice: Invoice, sent: dict[tuple[str, int], int] | None) -> Iterable[Aggregate]:
    """Yield the lines as Stripe is told: of a canceled invoice those that it had."""
    lines = LineItem.objects.filter(invoice=invoice)
    if invoice.canceled_at is None:
        lines = lines.filter(live=True)
    grouped = lines.order_by("item_type", "unit_price_cents").values("item_type", "unit_price_cents")
    for row in grouped.annotate(number=Sum("quantity"), total=Sum(LINE_TOTAL)):
        item_type, price = ItemType(row["item_type"]), row["unit_price_cents"]
        told = None if sent is None else sent.get((item_type, price), 0)
        yield Aggregate(item_type, price, row["number"], row["total"], told)


def lines_of(
    invoice: Invoice, item_type: ItemType, unit_price_cents: int, *, after: UUID | None = None, limit: int
) -> list[LineExplained]:
    """Explain up to `limit` lines of one aggregate, those behind `after` in the order of their ids; three queries."""
    lines = LineItem.objects.filter(invoice=invoice, item_type=item_type, unit_price_cents=unit_price_cents)
    if invoice.canceled_at is None:
        lines = lines.filter(live=True)
    if after is not None:
        lines = lines.filter(pk__gt=after)
    return explain_lines(invoice, list(lines.order_by("pk")[:limit]))


def explain_lines(invoice: Invoice, lines: Sequence[LineItem]) -> list[LineExplained]:
    """Explain these lines of the invoice, in two queries however many."""
    keys = {line.cycle_key for line in lines if line.patient_reference and line.cycle_key}
    cycles = {cycle.key: cycle for cycle in _cycles(invoice).filter(key__in=keys)} if keys else {}
    periods = _periods([line.patient_reference for line in lines if line.patient_reference])
    return [_explained(line, cycles, periods) for line in lines]


def _cycles(invoice: Invoice) -> QuerySet[BillingCycle]:
    return BillingCycle.objects.filter(office=invoice.office_id).select_related(
        "plan", "price_version", "price_override", "office"
    )


def _periods(references: Sequence[UUID]) -> dict[UUID, list[ActivityPeriod]]:
    found: dict[UUID, list[ActivityPeriod]] = defaultdict(list)
    if references:
        for period in ActivityPeriod.objects.filter(patient__in=references).order_by("activated_at"):
            found[period.patient_id].append(period)
    return found


def _explained(
    line: LineItem, cycles: dict[str, BillingCycle], periods: dict[UUID, list[ActivityPeriod]]
) -> LineExplained:
    cycle = cycles.get(line.cycle_key or "")
    if line.patient_reference is None or cycle is None:
        return LineExplained(line, Rule.SINGLE)
    then = [each for each in periods[line.patient_reference] if _touches(each, cycle)]
    if not then:
        return LineExplained(line, Rule.ENDED_LATER, cycle=cycle)
    rule = _RULE_OF.get(ItemType(line.item_type), Rule.LATE)
    return LineExplained(line, rule, then[0].activated_at, then[-1].deactivated_at, cycle)


def _touches(period: ActivityPeriod, cycle: BillingCycle) -> bool:
    """Say whether the period makes the account billable; one that ends at the very start may carry another one on."""
    ends = period.deactivated_at
    return period.activated_at < cycle.end_at and (ends is None or ends >= cycle.start_at)


def price_words(cycle: BillingCycle) -> str:
    """Say which frozen term of the cycle sets its price: the trial, the office's own price, or a price version."""
    if cycle.status == OfficeStatus.TRIALING:
        return "nothing: the office was in its trial when the month began"
    override = cycle.price_override
    if override is not None:
        return f"the office's own price, from {override.starts_on} until before {override.ends_on}"
    return f"plan {cycle.plan.code}, price version of {cycle.price_version.effective_on}"
