"""What the ledger says a request to Stripe must be: derived anew from our rows, never from the frozen payload.

The guard compares these values with what is really encoded (privacy.md, level 3): ids by membership for this office,
quantity, amount and month from the frozen invoice, name and e-mail from the office's profile.
"""

from dataclasses import dataclass

from django.db.models import Sum

from billing.customers import customer_document, opaque_document
from billing.documents import CustomerDocument
from billing.models import Correction, CorrectionKind, CorrectionReason, Invoice, LineItem, PaybackChannel
from billing.stripe_gateway.guard import Expectation
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound_values import CollectionMethod, CreditReason, InvoiceKind, LineText
from offices.models import Office

# Stripe knows four reasons; which of ours each stands for. Ours says more, and stays here.
CREDIT_REASON_OF = {
    CorrectionReason.DUPLICATE: CreditReason.DUPLICATE,
    CorrectionReason.FRAUD: CreditReason.FRAUDULENT,
    CorrectionReason.BILLED_IN_ERROR: CreditReason.ORDER_CHANGE,
    CorrectionReason.WRONG_PRICE: CreditReason.ORDER_CHANGE,
    CorrectionReason.GOODWILL: CreditReason.ORDER_CHANGE,
    CorrectionReason.SERVICE_ISSUE: CreditReason.PRODUCT_UNSATISFACTORY,
}

_WRITE_OF = {
    CorrectionKind.CANCEL: Operation.VOID_INVOICE,
    CorrectionKind.REPLACE: Operation.VOID_INVOICE,
    CorrectionKind.WRITE_OFF: Operation.MARK_UNCOLLECTIBLE,
    CorrectionKind.RETRY: Operation.PAY_INVOICE,
}


@dataclass(frozen=True, slots=True)
class LedgerItem:
    """One aggregate of the frozen lines."""

    text: LineText
    unit_price_cents: int
    quantity: int


def ledger_items(invoice: Invoice) -> list[LedgerItem]:
    """Add up the frozen lines of an invoice by item type and unit price, in the order in which they are sent."""
    rows = (
        LineItem.objects.filter(invoice=invoice, live=True)
        .exclude(unit_price_cents=0)
        .order_by("item_type", "unit_price_cents")
        .values_list("item_type", "unit_price_cents")
        .annotate(number=Sum("quantity"))
    )
    return [LedgerItem(LineText(item_type), cents, number) for item_type, cents, number in rows]


def create_customer(office: Office, *, name: str) -> Expectation:
    """The office, under its approved profile, or under the opaque name that may always be sent."""
    opaque, standing = opaque_document(office), customer_document(office)
    profile = opaque if name == opaque.name else standing
    values = {"name": profile.name, "metadata[office_id]": str(office.pk), **_email(profile)}
    return Expectation(Operation.CREATE_CUSTOMER, values)


def update_customer(office: Office, customer_id: str) -> Expectation:
    """The standing profile, for the customer of the office."""
    profile = customer_document(office)
    return Expectation(Operation.UPDATE_CUSTOMER, {"{customer}": customer_id, "name": profile.name, **_email(profile)})


def retrieve_customer(customer_id: str) -> Expectation:
    """The office's own customer."""
    return Expectation(Operation.RETRIEVE_CUSTOMER, {"{customer}": customer_id})


def list_customers(created_from: int, after: str | None) -> Expectation:
    """Customers made since our own first try, page by page."""
    return Expectation(Operation.LIST_CUSTOMERS, {"created[gte]": str(created_from), **_after(after)})


def create_invoice(invoice: Invoice, customer_id: str) -> Expectation:
    """The frozen invoice, for the customer of its office."""
    kind = InvoiceKind(invoice.invoice_type)
    values = {
        "customer": customer_id,
        "collection_method": invoice.collection_method,
        "currency": invoice.currency.lower(),
        "description": kind.description,
        "metadata[invoice_id]": str(invoice.pk),
        "metadata[kind]": kind.value,
    }
    if invoice.cycle is not None:
        values["metadata[cycle]"] = invoice.cycle.key
    if invoice.collection_method == CollectionMethod.SEND_INVOICE.value:
        values["days_until_due"] = str(invoice.days_until_due)
    return Expectation(Operation.CREATE_INVOICE, values)


def list_invoices(customer_id: str, after: str | None) -> Expectation:
    """The invoices of the office's customer."""
    return Expectation(Operation.LIST_INVOICES, {"customer": customer_id, **_after(after)})


def list_invoice_lines(stripe_invoice_id: str, after: str | None) -> Expectation:
    """The lines of one of our invoices."""
    return Expectation(Operation.LIST_INVOICE_LINES, {"{invoice}": stripe_invoice_id, **_after(after)})


def create_invoice_item(invoice: Invoice, item: LedgerItem, customer_id: str, stripe_invoice_id: str) -> Expectation:
    """One aggregate of the frozen lines, on the invoice that we made."""
    return Expectation(
        Operation.CREATE_INVOICE_ITEM,
        {
            "customer": customer_id,
            "invoice": stripe_invoice_id,
            "description": item.text.description,
            "quantity_decimal": str(item.quantity),
            "unit_amount_decimal": str(item.unit_price_cents),
            "currency": invoice.currency.lower(),
        },
    )


def on_invoice(operation: Operation, stripe_invoice_id: str) -> Expectation:
    """A call on one of our invoices that says nothing but its id."""
    return Expectation(operation, {"{invoice}": stripe_invoice_id})


def _email(profile: CustomerDocument) -> dict[str, str]:
    return {"email": profile.email} if profile.email else {}


def _after(after: str | None) -> dict[str, str]:
    return {"starting_after": after} if after else {}


def pay_out_of_band(stripe_invoice_id: str) -> Expectation:
    """One of our invoices, paid by check or wire as two people confirmed."""
    return Expectation(Operation.PAY_INVOICE, {"{invoice}": stripe_invoice_id, "paid_out_of_band": "true"})


def create_credit_note(correction: Correction, stripe_invoice_id: str) -> Expectation:
    """The approved correction, to the cent."""
    amount = str(correction.amount_cents)
    values = {
        "invoice": stripe_invoice_id,
        "amount": amount,
        "reason": CREDIT_REASON_OF[CorrectionReason(correction.reason)].value,
        "metadata[credit_note_id]": str(correction.pk),
    }
    if correction.payback:
        part = "refund_amount" if correction.payback == PaybackChannel.STRIPE else "out_of_band_amount"
        values[part] = amount
    return Expectation(Operation.CREATE_CREDIT_NOTE, values)


def correct(correction: Correction, stripe_invoice_id: str) -> Expectation:
    """The one write that carries the correction out, on its invoice."""
    kind = CorrectionKind(correction.kind)
    if kind == CorrectionKind.CREDIT:
        return create_credit_note(correction, stripe_invoice_id)
    if kind == CorrectionKind.OFFLINE_PAYMENT:
        return pay_out_of_band(stripe_invoice_id)
    return on_invoice(_WRITE_OF[kind], stripe_invoice_id)


def created_within(operation: Operation, created_from: int, created_until: int, after: str | None) -> Expectation:
    """What was made at Stripe in a window of a run of ours (Unix seconds, half-open), page by page."""
    values = {"created[gte]": str(created_from), "created[lt]": str(created_until), **_after(after)}
    if operation is Operation.LIST_INVOICES:
        values["expand[]"] = "data.payments"
    return Expectation(operation, values)


def listed_of(operation: Operation, name: str, stripe_id: str, after: str | None) -> Expectation:
    """What hangs on one of our invoices (`invoice`) or payments (`payment_intent`), page by page."""
    return Expectation(operation, {name: stripe_id, **_after(after)})


def payments_of_intent(payment_intent: str) -> Expectation:
    """The invoices that a payment intent of our inbox pays."""
    values = {"payment[type]": "payment_intent", "payment[payment_intent]": payment_intent}
    return Expectation(Operation.LIST_INVOICE_PAYMENTS, values)


def list_pending_items(after: str | None) -> Expectation:
    """Items without an invoice, page by page."""
    return Expectation(Operation.LIST_PENDING_ITEMS, _after(after))


def retrieve(operation: Operation, name: str, stripe_id: str) -> Expectation:
    """One object by its id, which stands on a row of ours or in our inbox."""
    return Expectation(operation, {name: stripe_id})
