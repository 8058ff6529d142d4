"""Two ways of writing the month that one would try first: `bulk_create` for each chunk, and object by object.

Both read the activity periods into Python, decide there, and make the same rows as `billing.billing_run`; they open
cycles through the product's own code and leave out what only the product promises.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from audit.chain import Fact, record, record_many
from bench.scenario import ACTOR, CHUNK
from billing.cycle_opening import open_missing_cycles
from billing.documents import CustomerDocument, DocumentItem, InvoiceDocument
from billing.models import BillingCycle, Invoice, InvoiceStatus, ItemType, LineItem, MessageKind, OutboxMessage
from billing.outbox import new_message
from offices.audit_stream import office_stream
from offices.models import Office, OfficeStripeAccount
from patients.models import ActivityPeriod

_CLOSED_FIELDS = [
    "total_cents", "closed_at", "updated_at", "collection_method", "days_until_due", "status", "paid_at",
    "settlement_reason", "version",
]  # fmt: skip
_CYCLE_FIELDS = ["closed_at", "carried_over_at", "last_period_id", "patient_count"]


def bulk_create(as_of: datetime) -> None:
    """Bill chunks of offices: objects in lists, `bulk_create` and `bulk_update`."""
    offices = list(Office.objects.order_by("pk"))
    for start in range(0, len(offices), CHUNK):
        with transaction.atomic():
            _bill_in_bulk(offices[start : start + CHUNK], as_of)


def _bill_in_bulk(offices: Sequence[Office], now: datetime) -> None:
    open_missing_cycles(offices, as_of=now, actor=ACTOR, now=now)
    drafts = list(Invoice.objects.filter(office__in=offices, closed_at__isnull=True).select_related("cycle", "office"))
    periods = _periods_by_office(offices)
    charged = set(LineItem.objects.filter(invoice__in=drafts).values_list("invoice", "patient_reference"))
    LineItem.objects.bulk_create(
        [line for draft in drafts for line in _missing_lines(draft, periods[draft.office_id], charged, now)],
        batch_size=5000,
    )
    due = [draft for draft in drafts if draft.cycle.end_at <= now]
    lines = defaultdict(list)
    for line in LineItem.objects.filter(invoice__in=due):
        lines[line.invoice_id].append(line)
    newest = _newest_period()
    for draft in due:
        _freeze(draft, lines[draft.pk], newest, now)
    Invoice.objects.bulk_update(due, _CLOSED_FIELDS, batch_size=CHUNK)
    BillingCycle.objects.bulk_update([draft.cycle for draft in due], _CYCLE_FIELDS, batch_size=CHUNK)
    OutboxMessage.objects.bulk_create([message for draft in due for message in _messages(draft, lines[draft.pk], now)])
    record_many([fact for draft in due for fact in _facts(draft, len(lines[draft.pk]))], actor=ACTOR, now=now)
    fresh = [draft.cycle_id for draft in drafts if draft.cycle.end_at > now]
    BillingCycle.objects.filter(pk__in=fresh).update(carried_over_at=now)


def object_by_object(as_of: datetime) -> None:
    """Bill one office after the other, each row with its own `save`."""
    for office in Office.objects.order_by("pk"):
        with transaction.atomic():
            _bill_one(office, as_of)


def _bill_one(office: Office, now: datetime) -> None:
    open_missing_cycles([office], as_of=now, actor=ACTOR, now=now)
    periods = list(ActivityPeriod.objects.filter(office=office))
    for draft in Invoice.objects.filter(office=office, closed_at__isnull=True).select_related("cycle", "office"):
        charged = {(draft.pk, line.patient_reference) for line in draft.line_items.all()}
        for line in _missing_lines(draft, periods, charged, now):
            line.save(force_insert=True)
        if draft.cycle.end_at > now:
            draft.cycle.carried_over_at = now
            draft.cycle.save()
            continue
        lines = list(draft.line_items.all())
        _freeze(draft, lines, _newest_period(), now)
        draft.save()
        draft.cycle.save()
        for message in _messages(draft, lines, now):
            message.save(force_insert=True)
        for fact in _facts(draft, len(lines)):
            record(fact, actor=ACTOR, now=now)


def _newest_period() -> int:
    return int(ActivityPeriod.objects.aggregate(newest=Max("pk"))["newest"])


def _periods_by_office(offices: Sequence[Office]) -> dict[UUID, list[ActivityPeriod]]:
    periods = defaultdict(list)
    for period in ActivityPeriod.objects.filter(office__in=offices):
        periods[period.office_id].append(period)
    return periods


def _missing_lines(
    draft: Invoice, periods: Iterable[ActivityPeriod], charged: set[tuple[UUID, UUID]], now: datetime
) -> list[LineItem]:
    """Return a line for each billable patient without one (nobody's periods touch in this scenario)."""
    cycle, lines = draft.cycle, []
    for period in periods:
        overlaps = period.activated_at < cycle.end_at and (
            period.deactivated_at is None or period.deactivated_at > cycle.start_at
        )
        if not overlaps or (draft.pk, period.patient_id) in charged:
            continue
        crossing = period.activated_at < cycle.start_at
        lines.append(
            LineItem(
                invoice=draft,
                item_type=ItemType.ACTIVE_PATIENT if crossing else ItemType.PATIENT_ACTIVATION,
                cycle_key=cycle.key,
                patient_reference=period.patient_id,
                unit_price_cents=cycle.unit_price_cents,
                created_at=now,
            )
        )
    return lines


def _freeze(draft: Invoice, lines: Sequence[LineItem], newest_period: int, now: datetime) -> None:
    draft.total_cents = sum(line.quantity * line.unit_price_cents for line in lines)
    draft.closed_at = draft.updated_at = now
    draft.collection_method, draft.days_until_due = draft.office.collection_method, draft.office.days_until_due
    if draft.total_cents == 0:
        draft.status, draft.paid_at, draft.version = InvoiceStatus.PAID, now, draft.version + 1
        draft.settlement_reason = "trial" if draft.cycle.status == "trialing" else "nothing_due"
    draft.cycle.closed_at = now
    draft.cycle.carried_over_at = draft.cycle.carried_over_at or now
    draft.cycle.last_period_id = newest_period
    draft.cycle.patient_count = len(lines)


def _messages(draft: Invoice, lines: Iterable[LineItem], now: datetime) -> list[OutboxMessage]:
    if not draft.total_cents:
        return []
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for line in lines:
        counts[line.item_type, line.unit_price_cents] += line.quantity
    document = InvoiceDocument(
        invoice=str(draft.pk),
        office=str(draft.office_id),
        invoice_type=draft.invoice_type,
        cycle=draft.cycle.key,
        currency=draft.currency.lower(),
        collection_method=draft.collection_method,
        days_until_due=draft.days_until_due,
        items=tuple(DocumentItem(*item, quantity) for item, quantity in sorted(counts.items())),
        total_cents=draft.total_cents,
    )
    messages = [new_message(MessageKind.INVOICE, draft.office, document, now=now, invoice=draft)]
    if not OfficeStripeAccount.objects.filter(office=draft.office_id).exists():
        customer = CustomerDocument(
            str(draft.office_id), draft.office.opaque_name, settings.BILLING_FALLBACK_EMAIL or None
        )
        messages.append(new_message(MessageKind.CUSTOMER, draft.office, customer, now=now))
    return messages


def _facts(draft: Invoice, lines: int) -> list[Fact]:
    stream, number, cycle = office_stream(draft.office.reference), str(draft.pk), draft.cycle
    closed = {
        "invoice": number, "type": draft.invoice_type, "cycle": draft.cycle.key, "total_cents": draft.total_cents,
        "currency": draft.currency, "lines": lines,
    }  # fmt: skip
    ended = {"cycle": cycle.key, "patients": cycle.patient_count, "last_period": cycle.last_period_id}
    moved = {"invoice": number, "from": "draft", "to": "paid", "reason": draft.settlement_reason}
    settled = [] if draft.total_cents else [Fact(stream, "invoice.status_changed", moved)]
    return [Fact(stream, "invoice.closed", closed), *settled, Fact(stream, "cycle.closed", ended)]
