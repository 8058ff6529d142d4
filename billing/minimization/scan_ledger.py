"""What the ledger expects of a request that someone shows us: found by its ids, derived from our rows.

`expectations.py` derives the values; here a candidate is matched with the office, invoice or item it claims to be.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

from django.db.models import QuerySet

from billing import expectations
from billing.customers import ALL_CUSTOMERS_SINCE, CUSTOMER_CONTEXT, first_tries_looked_from
from billing.minimization.scan_money import MONEY_LEDGER, invoices_of_a_window, is_known, settled_out_of_band
from billing.models import Invoice, OutboundRequest, OutboxStep
from billing.stripe_gateway.guard import Expectation, ParsedRequest
from billing.stripe_gateway.operation import Operation
from offices.encryption import blind_indexes
from offices.models import Office, OfficeStripeAccount

Variables = Mapping[str, str]


def expectation_of(parsed: ParsedRequest) -> Expectation | None:
    """Return what the ledger says this request must be, or None when it knows nothing of it."""
    operation = parsed.rule.operation
    expected = _LEDGER[operation](parsed.variables)
    if expected is None or parsed.rule.method == "GET":
        return expected
    stored = _is_stored_key(operation, parsed.idempotency_key)
    return replace(expected, idempotency_key=parsed.idempotency_key if stored else None)


def _is_stored_key(operation: Operation, key: str | None) -> bool:
    """Say whether we stored this random key for such a write: a key is a place where 122 bits could hide."""
    if key is None:
        return False
    stored = OutboxStep.objects.filter(operation=operation, idempotency_key=key)
    return stored.exists() or OutboundRequest.objects.filter(operation=operation, idempotency_key=key).exists()


def _create_customer(variables: Variables) -> Expectation | None:
    office = Office.objects.filter(pk=variables["metadata[office_id]"]).first()
    return None if office is None else expectations.create_customer(office, name=variables["name"])


def _update_customer(variables: Variables) -> Expectation | None:
    office_id = _office_of_customer(variables["{customer}"])
    if office_id is None:
        return None
    return expectations.update_customer(Office.objects.get(pk=office_id), variables["{customer}"])


def _create_invoice(variables: Variables) -> Expectation | None:
    invoice = _closed_invoices().filter(pk=variables["metadata[invoice_id]"]).first()
    customer_id = _customer_of(invoice.office_id) if invoice else None
    return expectations.create_invoice(invoice, customer_id) if invoice and customer_id else None


def _create_item(variables: Variables) -> Expectation | None:
    invoice = _closed_invoices().filter(stripe_invoice_id=variables["invoice"]).first()
    customer_id = _customer_of(invoice.office_id) if invoice else None
    if invoice is None or customer_id is None:
        return None
    claimed = (variables["description"], variables["unit_amount_decimal"])
    for item in expectations.ledger_items(invoice):
        if (item.text.description, str(item.unit_price_cents)) == claimed:
            return expectations.create_invoice_item(invoice, item, customer_id, variables["invoice"])
    return None


def _on_invoice(operation: Operation) -> Callable[[Variables], Expectation | None]:
    def expect(variables: Variables) -> Expectation | None:
        known = _closed_invoices().filter(stripe_invoice_id=variables["{invoice}"]).exists()
        return expectations.on_invoice(operation, variables["{invoice}"]) if known else None

    return expect


def _retrieve_invoice(variables: Variables) -> Expectation | None:
    """One of ours, or one that an event names and of which we ask whether it is ours."""
    known = is_known(variables["{invoice}"])
    return expectations.on_invoice(Operation.RETRIEVE_INVOICE, variables["{invoice}"]) if known else None


def _list_lines(variables: Variables) -> Expectation | None:
    known = _closed_invoices().filter(stripe_invoice_id=variables["{invoice}"]).exists()
    after = variables.get("starting_after")
    return expectations.list_invoice_lines(variables["{invoice}"], after) if known and _was_asked(after) else None


def _was_asked(after: str | None) -> bool:
    """A page that follows another one begins after an id that only Stripe knows: allowed when we have asked for it."""
    return after is None or OutboundRequest.objects.filter(query__endswith=f"starting_after={after}").exists()


def _retrieve_customer(variables: Variables) -> Expectation | None:
    known = _office_of_customer(variables["{customer}"]) is not None
    return expectations.retrieve_customer(variables["{customer}"]) if known else None


def _pay_invoice(variables: Variables) -> Expectation | None:
    if "paid_out_of_band" not in variables:
        return _on_invoice(Operation.PAY_INVOICE)(variables)
    stripe_id = variables["{invoice}"]
    return expectations.pay_out_of_band(stripe_id) if settled_out_of_band(stripe_id) else None


def _list_invoices(variables: Variables) -> Expectation | None:
    if "customer" not in variables:
        return invoices_of_a_window(variables)
    office_id, after = _office_of_customer(variables["customer"]), variables.get("starting_after")
    if office_id is None:
        return None
    if after and not Invoice.objects.filter(office=office_id, stripe_invoice_id=after).exists():
        return None
    return expectations.list_invoices(variables["customer"], after)


def _list_customers(variables: Variables) -> Expectation | None:
    """A look for a lost customer begins at our own first try, a backfill at its one instant; others are not ours."""
    since, after = int(variables["created[gte]"]), variables.get("starting_after")
    if since == ALL_CUSTOMERS_SINCE:
        return expectations.list_customers(since, after) if _was_asked(after) else None
    earliest, latest = first_tries_looked_from(since)
    ours = OutboxStep.objects.filter(
        operation=Operation.CREATE_CUSTOMER, first_sent_at__gte=earliest, first_sent_at__lt=latest
    )
    if not ours.exists() or (after and _office_of_customer(after) is None):
        return None
    return expectations.list_customers(since, after)


def _closed_invoices() -> QuerySet[Invoice]:
    return Invoice.objects.filter(closed_at__isnull=False).select_related("cycle", "office").defer("internal_note")


def _customer_of(office_id: UUID) -> str | None:
    account = OfficeStripeAccount.objects.filter(office=office_id).first()
    return str(account.customer_id) if account else None


def _office_of_customer(customer_id: str) -> UUID | None:
    digests = [index.digest for index in blind_indexes(customer_id, context=CUSTOMER_CONTEXT)]
    return OfficeStripeAccount.objects.filter(customer_index__in=digests).values_list("office", flat=True).first()


_LEDGER: Mapping[Operation, Callable[[Variables], Expectation | None]] = {
    Operation.CREATE_CUSTOMER: _create_customer,
    Operation.UPDATE_CUSTOMER: _update_customer,
    Operation.LIST_CUSTOMERS: _list_customers,
    Operation.RETRIEVE_CUSTOMER: _retrieve_customer,
    Operation.CREATE_INVOICE: _create_invoice,
    Operation.LIST_INVOICES: _list_invoices,
    Operation.RETRIEVE_INVOICE: _retrieve_invoice,
    Operation.LIST_INVOICE_LINES: _list_lines,
    Operation.CREATE_INVOICE_ITEM: _create_item,
    Operation.FINALIZE_INVOICE: _on_invoice(Operation.FINALIZE_INVOICE),
    Operation.PAY_INVOICE: _pay_invoice,
    Operation.VOID_INVOICE: _on_invoice(Operation.VOID_INVOICE),
    Operation.MARK_UNCOLLECTIBLE: _on_invoice(Operation.MARK_UNCOLLECTIBLE),
    **MONEY_LEDGER,
}
