"""One example of every outbound request, each with the expectation written by hand as the ledger would derive it."""

import dataclasses
import uuid
from collections.abc import Iterator
from typing import Any

from billing.stripe_gateway import outbound, outbound_corrections, outbound_reads
from billing.stripe_gateway.guard import Expectation, Guard
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound_values import (
    ApprovedProfile,
    Cents,
    CollectionMethod,
    Count,
    CreditReason,
    Currency,
    Cycle,
    InvoiceKind,
    LineText,
    OwnId,
    Settlement,
    StripeId,
    UnixTime,
)
from billing.stripe_gateway.wire import encode_form

API_KEY = "sk_test_stand_in"
VERSION = "2026-10-28.endive"
AGENT = "clinic-billing/1"
BASE = "https://api.stripe.com"
KEY = uuid.UUID("3f1e2d4c-5b6a-4789-8abc-def012345678")
OWN = uuid.UUID("0a1b2c3d-4e5f-4a6b-9c7d-8e9f0a1b2c3d")
CUSTOMER, INVOICE, LINE, INTENT = StripeId("cus_Q1"), StripeId("in_1Pq"), StripeId("il_9"), StripeId("pi_7")


@dataclasses.dataclass(frozen=True)
class Sample:
    request: outbound.OutboundRequest[Any]
    values: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.request.encode().operation.value}-{len(self.values)}"

    @property
    def expectation(self) -> Expectation:
        encoded = self.request.encode()
        return Expectation(encoded.operation, self.values, str(KEY) if encoded.method == "POST" else None)


def _invoice(kind: InvoiceKind, method: CollectionMethod) -> outbound.CreateInvoice:
    monthly, sent = kind is InvoiceKind.MONTHLY, method is CollectionMethod.SEND_INVOICE
    return outbound.CreateInvoice(
        customer=CUSTOMER,
        invoice=OwnId(OWN),
        cycle=Cycle("2026-03") if monthly else None,
        kind=kind,
        currency=Currency.USD,
        collection_method=method,
        days_until_due=Count(30) if sent else None,
    )


def _credit_note(**parts: Cents) -> outbound_corrections.CreateCreditNote:
    return outbound_corrections.CreateCreditNote(INVOICE, OwnId(OWN), Cents(400), CreditReason.DUPLICATE, **parts)


_CREDIT_VALUES = {
    "invoice": "in_1Pq",
    "amount": "400",
    "reason": "duplicate",
    "metadata[credit_note_id]": str(OWN),
}
WINDOW = outbound_reads.Window(UnixTime(1_700_000_000), UnixTime(1_702_000_000))
_WINDOW_VALUES = {"created[gte]": "1700000000", "created[lt]": "1702000000"}
_INVOICE_VALUES = {
    "customer": "cus_Q1",
    "currency": "usd",
    "description": "Monthly patient account services",
    "metadata[invoice_id]": str(OWN),
    "metadata[kind]": "monthly",
    "metadata[cycle]": "2026-03",
}
_ONE_OFF_VALUES = {
    "customer": "cus_Q1",
    "currency": "usd",
    "description": "Additional services",
    "metadata[invoice_id]": str(OWN),
    "metadata[kind]": "one_off",
    "collection_method": "charge_automatically",
}
_ITEM_VALUES = {"customer": "cus_Q1", "invoice": "in_1Pq", "currency": "usd"}

SAMPLES = (
    Sample(
        outbound.CreateCustomer(OwnId(OWN), ApprovedProfile("Office 8F3K2Q")),
        {"name": "Office 8F3K2Q", "metadata[office_id]": str(OWN)},
    ),
    Sample(
        outbound.CreateCustomer(OwnId(OWN), ApprovedProfile("Back & Spine, 100% (West)", "front+desk@clinic.example")),
        {
            "name": "Back & Spine, 100% (West)",
            "email": "front+desk@clinic.example",
            "metadata[office_id]": str(OWN),
        },
    ),
    Sample(
        outbound.UpdateCustomer(CUSTOMER, ApprovedProfile("Back & Spine", "desk@clinic.example")),
        {"{customer}": "cus_Q1", "name": "Back & Spine", "email": "desk@clinic.example"},
    ),
    Sample(outbound.ListCustomers(UnixTime(1_700_000_000)), {"created[gte]": "1700000000"}),
    Sample(
        outbound.ListCustomers(UnixTime(1_700_000_000), CUSTOMER),
        {"created[gte]": "1700000000", "starting_after": "cus_Q1"},
    ),
    Sample(outbound.RetrieveCustomer(CUSTOMER), {"{customer}": "cus_Q1"}),
    Sample(
        _invoice(InvoiceKind.MONTHLY, CollectionMethod.SEND_INVOICE),
        {**_INVOICE_VALUES, "collection_method": "send_invoice", "days_until_due": "30"},
    ),
    Sample(_invoice(InvoiceKind.ONE_OFF, CollectionMethod.CHARGE_AUTOMATICALLY), _ONE_OFF_VALUES),
    Sample(outbound.ListInvoices(CUSTOMER), {"customer": "cus_Q1"}),
    Sample(outbound.ListInvoices(CUSTOMER, INVOICE), {"customer": "cus_Q1", "starting_after": "in_1Pq"}),
    Sample(outbound.RetrieveInvoice(INVOICE), {"{invoice}": "in_1Pq"}),
    Sample(outbound.ListInvoiceLines(INVOICE), {"{invoice}": "in_1Pq"}),
    Sample(outbound.ListInvoiceLines(INVOICE, LINE), {"{invoice}": "in_1Pq", "starting_after": "il_9"}),
    Sample(
        outbound.CreateInvoiceItem(CUSTOMER, INVOICE, LineText.ACTIVE_PATIENT, Count(42), Cents(200), Currency.USD),
        {
            **_ITEM_VALUES,
            "description": "Active patient accounts",
            "quantity_decimal": "42",
            "unit_amount_decimal": "200",
        },
    ),
    Sample(
        outbound.CreateInvoiceItem(CUSTOMER, INVOICE, LineText.DISCOUNT, Count(1), Cents(-1250), Currency.USD),
        {**_ITEM_VALUES, "description": "Discount", "quantity_decimal": "1", "unit_amount_decimal": "-1250"},
    ),
    Sample(outbound.FinalizeInvoice(INVOICE), {"{invoice}": "in_1Pq"}),
    Sample(outbound.PayInvoice(INVOICE), {"{invoice}": "in_1Pq"}),
    Sample(outbound.PayInvoice(INVOICE, Settlement.OUT_OF_BAND), {"{invoice}": "in_1Pq", "paid_out_of_band": "true"}),
    Sample(outbound.VoidInvoice(INVOICE), {"{invoice}": "in_1Pq"}),
    Sample(outbound_corrections.MarkUncollectible(INVOICE), {"{invoice}": "in_1Pq"}),
    Sample(_credit_note(), _CREDIT_VALUES),
    Sample(_credit_note(refund=Cents(400)), {**_CREDIT_VALUES, "refund_amount": "400"}),
    Sample(_credit_note(out_of_band=Cents(400)), {**_CREDIT_VALUES, "out_of_band_amount": "400"}),
    Sample(outbound_reads.ListInvoicesCreated(WINDOW), {**_WINDOW_VALUES, "expand[]": "data.payments"}),
    Sample(
        outbound_reads.ListInvoicesCreated(WINDOW, INVOICE),
        {**_WINDOW_VALUES, "expand[]": "data.payments", "starting_after": "in_1Pq"},
    ),
    Sample(outbound_reads.ListInvoicePayments(INVOICE), {"invoice": "in_1Pq"}),
    Sample(
        outbound_reads.ListInvoicePayments(INTENT),
        {"payment[type]": "payment_intent", "payment[payment_intent]": "pi_7"},
    ),
    Sample(outbound_reads.ListPendingItems(), {}),
    Sample(outbound_reads.ListPendingItems(StripeId("ii_5")), {"starting_after": "ii_5"}),
    Sample(outbound_reads.RetrievePaymentIntent(INTENT), {"{payment_intent}": "pi_7"}),
    Sample(outbound_reads.RetrieveCharge(StripeId("py_7")), {"{charge}": "py_7"}),
    Sample(outbound_reads.ListRefunds(WINDOW), _WINDOW_VALUES),
    Sample(outbound_reads.ListRefunds(INTENT, StripeId("re_1")), {"payment_intent": "pi_7", "starting_after": "re_1"}),
    Sample(outbound_reads.RetrieveRefund(StripeId("re_1")), {"{refund}": "re_1"}),
    Sample(outbound_reads.ListDisputes(WINDOW), _WINDOW_VALUES),
    Sample(outbound_reads.ListDisputes(INTENT), {"payment_intent": "pi_7"}),
    Sample(outbound_reads.RetrieveDispute(StripeId("du_1")), {"{dispute}": "du_1"}),
    Sample(outbound_reads.ListCreditNotes(WINDOW), _WINDOW_VALUES),
    Sample(outbound_reads.ListCreditNotes(INVOICE, StripeId("cn_1")), {"invoice": "in_1Pq", "starting_after": "cn_1"}),
    Sample(outbound_reads.RetrieveCreditNote(StripeId("cn_1")), {"{credit_note}": "cn_1"}),
    Sample(outbound_reads.ListEvents(WINDOW, StripeId("evt_1")), {**_WINDOW_VALUES, "starting_after": "evt_1"}),
)


def sample(operation: Operation) -> Sample:
    return next(s for s in SAMPLES if s.request.encode().operation is operation)


def guard(base: str = BASE) -> Guard:
    return Guard(base_url=base, api_version=VERSION, user_agent=AGENT, api_key=API_KEY)


@dataclasses.dataclass(frozen=True)
class Wire:
    """A request as a tester may bend it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def wire(one: Sample, base: str = BASE) -> Wire:
    encoded = one.request.encode()
    form = encode_form(encoded.params)
    post = encoded.method == "POST"
    headers = {
        "Authorization": f"Bearer {API_KEY}",
        "Stripe-Version": VERSION,
        "User-Agent": AGENT,
    }
    if post:
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": str(KEY)}
    url = base + encoded.path + (f"?{form}" if form and not post else "")
    return Wire(encoded.method, url, headers, form.encode() if post else b"")


def request_classes() -> Iterator[type[outbound.OutboundRequest[Any]]]:
    for module in (outbound, outbound_corrections, outbound_reads):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, outbound.OutboundRequest):
                yield from () if value is outbound.OutboundRequest else (value,)
