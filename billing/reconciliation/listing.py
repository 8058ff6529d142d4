"""Walk Stripe's lists, page by page, and keep what they show: one call for a hundred objects, a commit after each page.

Refunds, disputes and credit notes are made after their invoice, so the window of a run holds all of those that hang on
an invoice in it. Nothing of ours changes here: what differs is found afterwards, by comparing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model

from billing import expectations
from billing.models import CopyKind, ReconciliationPhase, ReconciliationRun
from billing.reconciliation.checkpoint import advance
from billing.reconciliation.copies import invoice_copy, money_copy, payment_copy, unreadable_invoice
from billing.reconciliation.words import judge_words
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.foreign_words import judged_by
from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.inbound import InboundInvoice, InboundLine, InboundPage, InboundPayment
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound import ListInvoiceLines, OutboundRequest
from billing.stripe_gateway.outbound_reads import (
    ListCreditNotes,
    ListDisputes,
    ListInvoicePayments,
    ListInvoicesCreated,
    ListPendingItems,
    ListRefunds,
    Window,
)
from billing.stripe_gateway.outbound_values import StripeId, UnixTime

Clock = Callable[[], datetime]
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Phase = ReconciliationPhase

Request = Callable[[Window | StripeId, StripeId | None], OutboundRequest[InboundPage[Any]]]

# Which phase asks for what, and how its objects are kept.
_MONEY: Mapping[ReconciliationPhase, tuple[Operation, Request, CopyKind]] = {
    Phase.REFUNDS: (Operation.LIST_REFUNDS, ListRefunds, CopyKind.REFUND),
    Phase.DISPUTES: (Operation.LIST_DISPUTES, ListDisputes, CopyKind.DISPUTE),
    Phase.CREDIT_NOTES: (Operation.LIST_CREDIT_NOTES, ListCreditNotes, CopyKind.CREDIT_NOTE),
}


def list_page(run: ReconciliationRun, *, following: ReconciliationPhase, clock: Clock) -> None:
    """Ask for the next page of the run's phase, keep it and move the checkpoint; after the last page, `following`.

    Raises what `call_stripe` raises, and RunOvertaken.
    """
    phase = Phase(run.phase)
    after = StripeId(run.cursor) if run.cursor else None
    if phase == Phase.INVOICES:
        rows, next_after, seen = _invoices(run, after, clock)
    else:
        rows, next_after = _money(run, phase, after, clock)
        seen = 0
    with transaction.atomic():
        keep_rows(rows)
        cursor = str(next_after) if next_after else ""
        advance(run, phase=phase if next_after else following, cursor=cursor, now=clock(), seen=seen)


def keep_rows(rows: Sequence[Model]) -> None:
    """Insert these rows, or bring those that are there to what was seen now."""
    for model in {type(row): None for row in rows}:
        mine = [row for row in rows if type(row) is model]
        key = model._meta.pk
        names = [field.name for field in model._meta.concrete_fields if field is not key]
        model._default_manager.bulk_create(mine, update_conflicts=True, unique_fields=[key.name], update_fields=names)


def _window(run: ReconciliationRun) -> Window:
    return Window(UnixTime(int(run.window_from.timestamp())), UnixTime(int(run.window_until.timestamp())))


def _invoices(run: ReconciliationRun, after: StripeId | None, clock: Clock) -> tuple[list[Model], StripeId | None, int]:
    with judged_by(judge_words):
        page = _listed(run, Operation.LIST_INVOICES, ListInvoicesCreated(_window(run), after), after)
    now = clock()
    rows: list[Model] = [unreadable_invoice(odd, run, now) for odd in page.unreadable]
    for seen in page.items:
        rows.append(invoice_copy(seen, _lines_of(seen), run, now))
        rows += [payment_copy(seen, payment, run, now) for payment in _payments_of(seen)]
    return rows, page.next_after, len(page.items) + len(page.unreadable)


def _money(
    run: ReconciliationRun, phase: ReconciliationPhase, after: StripeId | None, clock: Clock
) -> tuple[list[Model], StripeId | None]:
    page: InboundPage[Any]
    if phase == Phase.ITEMS:
        page = call_stripe(
            ListPendingItems(after), expectation=expectations.list_pending_items(str(after) if after else None)
        )
        kind = CopyKind.ITEM
    else:
        operation, request, kind = _MONEY[phase]
        page = _listed(run, operation, request(_window(run), after), after)
    return [money_copy(kind, seen, run, clock()) for seen in (*page.items, *page.unreadable)], page.next_after


def _listed(
    run: ReconciliationRun,
    operation: Operation,
    request: OutboundRequest[InboundPage[Item]],
    after: StripeId | None,
) -> InboundPage[Item]:
    window = _window(run)
    expectation = expectations.created_within(
        operation, window.created_from.value, window.created_until.value, str(after) if after else None
    )
    return call_stripe(request, expectation=expectation)


def _lines_of(invoice: InboundInvoice) -> list[InboundLine]:
    """Return all lines; a reply holds the first ten, and ours has one for each item type and price."""
    if not invoice.lines_have_more:
        return list(invoice.lines)
    return _all(
        lambda after: ListInvoiceLines(invoice.id, after),
        lambda after: expectations.list_invoice_lines(str(invoice.id), after),
    )


def _payments_of(invoice: InboundInvoice) -> list[InboundPayment]:
    if not invoice.payments_have_more:
        return list(invoice.payments)
    return _all(
        lambda after: ListInvoicePayments(invoice.id, after),
        lambda after: expectations.listed_of(Operation.LIST_INVOICE_PAYMENTS, "invoice", str(invoice.id), after),
    )


def _all(
    request: Callable[[StripeId | None], OutboundRequest[InboundPage[Item]]],
    expect: Callable[[str | None], Expectation],
) -> list[Item]:
    found: list[Item] = []
    after: StripeId | None = None
    while True:
        page = call_stripe(request(after), expectation=expect(str(after) if after else None))
        found.extend(page.items)
        after = page.next_after
        if after is None:
            return found
