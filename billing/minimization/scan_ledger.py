"""What the ledger expects of a request that someone shows us: found by its ids, derived from our rows.

`expectations.py` derives the values; here a candidate is matched with the office, invoice or item it claims to be.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

from django.db.models import Q, QuerySet

from billing import expectations
from billing.customers import ALL_CUSTOMERS_SINCE, customer_digests, first_tries_looked_from, office_of_customer
from billing.minimization.scan_money import MONEY_LEDGER, decided, invoices_of_a_window, is_known
from billing.models import CorrectionKind, Invoice, OutboundRequest, OutboxStep, StripeCustomerCopy
from billing.stripe_gateway.guard import Expectation, ParsedRequest
from billing.stripe_gateway.operation import Operation
from offices.models import Office, OfficeStripeAccount

Variables = Mapping[str, str]


def expectation_of(parsed: ParsedRequest) -> Expectation | None:
    """Return what the ledger says this request must be, or None when it knows nothing of it."""
    operation = parsed.rule.operation
    expected = _LEDGER[operation](parsed.variables)
    if expected is None or parsed.rule.method == "GET":
        return expected
    ours = _keys_of(operation, parsed.variables)
    return replace(expected, idempotency_key=parsed.idempotency_key if parsed.idempotency_key in ours else None)


def expectation_as_it_left(parsed: ParsedRequest, digest: str) -> Expectation | None:
    """Return the request itself as what is expected, when the evidence says that these very bytes have left before.

    What was right when it left stays allowed (decisions.md 28), also when the profile was replaced since.
    """
    sent = OutboundRequest.objects.filter(
        digest=digest, operation=parsed.rule.operation, idempotency_key=parsed.idempotency_key
    )
    if not sent.exists():
        return None
    return Expectation(parsed.rule.operation, parsed.variables, parsed.idempotency_key)


def _keys_of(operation: Operation, variables: Variables) -> set[str]:
    """Return the random keys that we stored for such a write on this very document; 122 bits could hide in another."""
    if "metadata[invoice_id]" in variables:
        message = Q(message__invoice=variables["metadata[invoice_id]"])
    elif "metadata[office_id]" in variables:
        message = Q(message__office=variables["metadata[office_id]"])
    elif "{customer}" in variables:
        message = Q(message__office=office_of_customer(variables["{customer}"]))
    else:
        invoice = variables.get("{invoice}") or variables["invoice"]
        message = Q(message__invoice__stripe_invoice_id=invoice)
    steps = OutboxStep.objects.filter(message, operation=operation)
    left = OutboundRequest.objects.filter(message, operation=operation)  # also keys that were renewed since
    return {str(key) for rows in (steps, left) for key in rows.values_list("idempotency_key", flat=True)}


def _create_customer(variables: Variables) -> Expectation | None:
    office = Office.objects.filter(pk=variables["metadata[office_id]"]).first()
    return None if office is None else expectations.create_customer(office, name=variables["name"])


def _update_customer(variables: Variables) -> Expectation | None:
    office_id = office_of_customer(variables["{customer}"])
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
    invoice, after = variables["{invoice}"], variables.get("starting_after")
    known = _closed_invoices().filter(stripe_invoice_id=invoice).exists()
    # A page that follows another begins after a line id that only Stripe knows: allowed once it has left.
    return expectations.list_invoice_lines(invoice, None) if known and not after else None


def _retrieve_customer(variables: Variables) -> Expectation | None:
    known = office_of_customer(variables["{customer}"]) is not None
    return expectations.retrieve_customer(variables["{customer}"]) if known else None


def _pay_invoice(variables: Variables) -> Expectation | None:
    outside = "paid_out_of_band" in variables
    return decided(CorrectionKind.OFFLINE_PAYMENT if outside else CorrectionKind.RETRY)(variables)


def _list_invoices(variables: Variables) -> Expectation | None:
    if "customer" not in variables:
        return invoices_of_a_window(variables)
    office_id, after = office_of_customer(variables["customer"]), variables.get("starting_after")
    if office_id is None:
        return None
    if after and not Invoice.objects.filter(office=office_id, stripe_invoice_id=after).exists():
        return None
    return expectations.list_invoices(variables["customer"], after)


def _list_customers(variables: Variables) -> Expectation | None:
    """A look for a lost customer begins at our own first try, one for all at one instant; others are not ours."""
    since, after = int(variables["created[gte]"]), variables.get("starting_after")
    if since == ALL_CUSTOMERS_SINCE:
        # A later page begins after a customer that was listed, or is allowed once it has left.
        return expectations.list_customers(since, after) if after is None or _was_listed(after) else None
    earliest, latest = first_tries_looked_from(since)
    ours = OutboxStep.objects.filter(
        operation=Operation.CREATE_CUSTOMER, first_sent_at__gte=earliest, first_sent_at__lt=latest
    )
    if not ours.exists() or (after and office_of_customer(after) is None):
        return None
    return expectations.list_customers(since, after)


def _was_listed(customer_id: str) -> bool:
    return StripeCustomerCopy.objects.filter(customer_index__in=customer_digests(customer_id)).exists()


def _closed_invoices() -> QuerySet[Invoice]:
    return Invoice.objects.filter(closed_at__isnull=False).select_related("cycle", "office").defer("internal_note")


def _customer_of(office_id: UUID) -> str | None:
    account = OfficeStripeAccount.objects.filter(office=office_id).first()
    return str(account.customer_id) if account else None


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
    Operation.VOID_INVOICE: decided(CorrectionKind.CANCEL, CorrectionKind.REPLACE),
    Operation.MARK_UNCOLLECTIBLE: decided(CorrectionKind.WRITE_OFF),
    **MONEY_LEDGER,
}
