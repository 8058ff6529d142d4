"""Invoices at Stripe that are none of ours, and items there that hang on no invoice: found in what a run has listed."""

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from billing.discrepancies import Evidence
from billing.models import (
    CopyKind,
    DiscrepancyKind,
    Invoice,
    ReconciliationRun,
    RepairKind,
    StripeInvoiceCopy,
    StripeMoneyCopy,
)
from billing.reconciliation import scope
from billing.reconciliation.finding import Finding
from offices.models import OfficeStripeAccount

_AT_ONCE = 500


def unmatched_invoices(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield duplicates of ours and invoices unknown to us; void ones claim nothing and are left out."""
    by_id = Invoice.objects.filter(stripe_invoice_id=OuterRef("pk"))
    strangers = (
        StripeInvoiceCopy.objects.filter(~Exists(by_id), run=run).exclude(status="void").order_by("created", "pk")
    )
    rows = _in_scope(strangers, run).iterator(chunk_size=_AT_ONCE)
    while copies := list(islice(rows, _AT_ONCE)):
        yield from _judge(copies, run)


def _in_scope(copies: QuerySet[StripeInvoiceCopy], run: ReconciliationRun) -> QuerySet[StripeInvoiceCopy]:
    if run.office_id is not None:
        index = OfficeStripeAccount.objects.filter(office=run.office_id).values("customer_index")
        mine = Invoice.objects.filter(pk=OuterRef("own_invoice_id"), office=run.office_id)
        copies = copies.filter(Q(customer_index__in=index) | Exists(mine))
    # An invoice that names no month may belong to any: rather told twice than never.
    return copies.filter(Q(own_cycle_key=run.cycle_key) | Q(own_cycle_key="")) if run.cycle_key else copies


def _judge(copies: list[StripeInvoiceCopy], run: ReconciliationRun) -> Iterator[Finding]:
    named = Invoice.objects.filter(pk__in={copy.own_invoice_id for copy in copies if copy.own_invoice_id})
    known = {invoice.pk: invoice for invoice in named.select_related("cycle").defer("internal_note")}
    listed = set(
        StripeInvoiceCopy.objects.filter(
            run=run, pk__in=[invoice.stripe_invoice_id for invoice in known.values() if invoice.stripe_invoice_id]
        ).values_list("pk", flat=True)
    )
    offices = dict(
        OfficeStripeAccount.objects.filter(customer_index__in={copy.customer_index for copy in copies}).values_list(
            "customer_index", "office"
        )
    )
    for copy in copies:
        invoice = known.get(copy.own_invoice_id) if copy.own_invoice_id else None
        if invoice is None:
            yield _unknown(copy, offices.get(copy.customer_index))
        elif _is_a_second_one(copy, invoice, listed, run):
            yield _duplicate(copy, invoice)


def _is_a_second_one(copy: StripeInvoiceCopy, invoice: Invoice, listed: set[str], run: ReconciliationRun) -> bool:
    """Our invoice has another one at Stripe. Without it this is the one, and the comparison tells what is missing."""
    if invoice.stripe_invoice_id:
        return invoice.stripe_invoice_id in listed
    older = StripeInvoiceCopy.objects.filter(run=run, own_invoice_id=invoice.pk).exclude(status="void")
    return older.order_by("created", "pk").values_list("pk", flat=True).first() != copy.pk


def _unknown(copy: StripeInvoiceCopy, office_id: UUID | None) -> Finding:
    return Finding(
        DiscrepancyKind.UNKNOWN_TO_US,
        f"stripe:{copy.pk}",
        RepairKind.LOOK,
        amount_cents=copy.total_cents,
        ours={"status": "missing"},
        theirs=_told(copy),
        office_id=office_id,
        cycle_key=copy.own_cycle_key,
    )


def _duplicate(copy: StripeInvoiceCopy, invoice: Invoice) -> Finding:
    return Finding(
        DiscrepancyKind.DUPLICATE_AT_STRIPE,
        f"stripe:{copy.pk}",
        RepairKind.CREDIT if copy.status == "paid" else RepairKind.CANCEL,
        amount_cents=copy.total_cents,
        ours={"stripe": invoice.stripe_invoice_id, "status": invoice.status, "total_cents": invoice.total_cents},
        theirs=_told(copy),
        office_id=invoice.office_id,
        invoice_id=invoice.pk,
        cycle_key=scope.month_of(invoice),
    )


def _told(copy: StripeInvoiceCopy) -> Evidence:
    return {
        "stripe": copy.pk,
        "status": copy.status,
        "total_cents": copy.total_cents,
        "paid_cents": copy.amount_paid_cents,
        "unreadable": copy.unreadable_field,
        "fields": [name for name in copy.foreign_fields.split(",") if name],
    }


def orphan_items(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield items that hang on no invoice: we make none, and the next invoice of the customer could sweep them in."""
    accounts = OfficeStripeAccount.objects.filter(customer_index=OuterRef("customer_index"))
    items = StripeMoneyCopy.objects.filter(run=run, kind=CopyKind.ITEM)
    if run.office_id is not None:
        items = items.filter(Exists(accounts.filter(office=run.office_id)))
    rows = items.iterator(chunk_size=_AT_ONCE)
    while copies := list(islice(rows, _AT_ONCE)):
        offices = dict(
            OfficeStripeAccount.objects.filter(customer_index__in={copy.customer_index for copy in copies}).values_list(
                "customer_index", "office"
            )
        )
        for copy in copies:
            yield Finding(
                DiscrepancyKind.ORPHAN_ITEM,
                f"stripe:{copy.pk}",
                RepairKind.LOOK,
                amount_cents=abs(copy.amount_cents),
                ours={"status": "missing"},
                theirs={"amount_cents": copy.amount_cents, "unreadable": copy.unreadable_field},
                office_id=offices.get(copy.customer_index),
            )
