"""All that may ever leave for Stripe: one frozen dataclass per call, made of typed values only.

`encode()` renders a request with Stripe's own form names in a fixed order, so the same request is always the same
bytes. A test walks the field types of every class here: no `str`, no mapping, no free keyword arguments.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from billing.stripe_gateway.inbound import InboundCustomer, InboundInvoice, InboundInvoiceItem, InboundLine, InboundPage
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.outbound_values import (
    ApprovedProfile,
    Cents,
    CollectionMethod,
    Count,
    Currency,
    Cycle,
    InvoiceKind,
    LineText,
    OutboundValueInvalid,
    OwnId,
    Settlement,
    StripeId,
    UnixTime,
)

Reply = TypeVar("Reply")
Params = tuple[tuple[str, str], ...]

# Stripe's largest page: fewest requests per look-before-resend.
PAGE = ("limit", "100")


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request as it goes on the wire: `params` are decoded name-value pairs in sending order."""

    operation: Operation
    method: str
    path: str
    params: Params = ()


class OutboundRequest(Generic[Reply]):
    """Base of all requests; `Reply` is the inbound type that `StripeGateway.call` returns for it."""

    __slots__ = ()

    def encode(self) -> EncodedRequest:
        """Render the request; pure and deterministic."""
        raise NotImplementedError


def optional(name: str, value: object | None) -> Params:
    """Return the parameter, or nothing when it has no value."""
    return () if value is None else ((name, str(value)),)


def require_prefix(stripe_id: StripeId, *prefixes: str) -> None:
    """Refuse an id of another kind: an invoice id where a customer belongs is a bug that the type would let through."""
    if not stripe_id.value.startswith(prefixes):
        raise OutboundValueInvalid(f"StripeId {prefixes[0]}")


@dataclass(frozen=True, slots=True)
class CreateCustomer(OutboundRequest[InboundCustomer]):
    """Create the one Stripe customer of an office."""

    office: OwnId
    profile: ApprovedProfile

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/customers."""
        params = (
            ("name", self.profile.name),
            *optional("email", self.profile.email),
            ("metadata[office_id]", str(self.office)),
        )
        return EncodedRequest(Operation.CREATE_CUSTOMER, "POST", "/v1/customers", params)


@dataclass(frozen=True, slots=True)
class UpdateCustomer(OutboundRequest[InboundCustomer]):
    """Tell Stripe the profile that was approved since the customer was made."""

    customer: StripeId
    profile: ApprovedProfile

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/customers/{customer}."""
        require_prefix(self.customer, "cus_")
        params = (("name", self.profile.name), *optional("email", self.profile.email))
        return EncodedRequest(Operation.UPDATE_CUSTOMER, "POST", f"/v1/customers/{self.customer}", params)


@dataclass(frozen=True, slots=True)
class ListCustomers(OutboundRequest[InboundPage[InboundCustomer]]):
    """Look before re-sending a lost customer creation: the customers made since `created_from`, newest first."""

    created_from: UnixTime
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/customers."""
        params = (("created[gte]", str(self.created_from)), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_CUSTOMERS, "GET", "/v1/customers", params)


@dataclass(frozen=True, slots=True)
class RetrieveCustomer(OutboundRequest[InboundCustomer]):
    """Fetch one customer as it is now."""

    customer: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/customers/{customer}."""
        require_prefix(self.customer, "cus_")
        return EncodedRequest(Operation.RETRIEVE_CUSTOMER, "GET", f"/v1/customers/{self.customer}")


@dataclass(frozen=True, slots=True)
class CreateInvoice(OutboundRequest[InboundInvoice]):
    """Open an empty draft that nothing can sweep loose items into and that never finalizes by itself.

    `cycle` exactly for a monthly invoice, `days_until_due` exactly for `send_invoice`; else `OutboundValueInvalid`.
    """

    customer: StripeId
    invoice: OwnId
    cycle: Cycle | None
    kind: InvoiceKind
    currency: Currency
    collection_method: CollectionMethod
    days_until_due: Count | None

    def __post_init__(self) -> None:
        if (self.cycle is not None) != (self.kind is InvoiceKind.MONTHLY):
            raise OutboundValueInvalid("CreateInvoice.cycle")
        if (self.days_until_due is not None) != (self.collection_method is CollectionMethod.SEND_INVOICE):
            raise OutboundValueInvalid("CreateInvoice.days_until_due")

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/invoices."""
        params = (
            ("customer", str(self.customer)),
            ("auto_advance", "false"),
            ("pending_invoice_items_behavior", "exclude"),
            ("collection_method", self.collection_method.value),
            *optional("days_until_due", self.days_until_due),
            ("currency", self.currency.value),
            ("description", self.kind.description),
            ("metadata[invoice_id]", str(self.invoice)),
            *optional("metadata[cycle]", self.cycle),
            ("metadata[kind]", self.kind.value),
        )
        return EncodedRequest(Operation.CREATE_INVOICE, "POST", "/v1/invoices", params)


@dataclass(frozen=True, slots=True)
class ListInvoices(OutboundRequest[InboundPage[InboundInvoice]]):
    """Look before re-sending: all invoices of one customer, newest first, 100 a page."""

    customer: StripeId
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/invoices."""
        params = (("customer", str(self.customer)), PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_INVOICES, "GET", "/v1/invoices", params)


@dataclass(frozen=True, slots=True)
class RetrieveInvoice(OutboundRequest[InboundInvoice]):
    """Fetch one invoice as it is now, with its payments."""

    invoice: StripeId

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/invoices/{invoice}."""
        require_prefix(self.invoice, "in_")
        params = (("expand[]", "payments"),)
        return EncodedRequest(Operation.RETRIEVE_INVOICE, "GET", f"/v1/invoices/{self.invoice}", params)


@dataclass(frozen=True, slots=True)
class ListInvoiceLines(OutboundRequest[InboundPage[InboundLine]]):
    """Fetch the lines of one invoice, 100 a page."""

    invoice: StripeId
    after: StripeId | None = None

    def encode(self) -> EncodedRequest:
        """Render as GET /v1/invoices/{invoice}/lines."""
        require_prefix(self.invoice, "in_")
        params = (PAGE, *optional("starting_after", self.after))
        return EncodedRequest(Operation.LIST_INVOICE_LINES, "GET", f"/v1/invoices/{self.invoice}/lines", params)


@dataclass(frozen=True, slots=True)
class CreateInvoiceItem(OutboundRequest[InboundInvoiceItem]):
    """Put one aggregate line on a draft: all units of one item type at one unit price.

    `unit_amount` may be below zero for a discount or an adjustment only; else `OutboundValueInvalid`.
    """

    customer: StripeId
    invoice: StripeId
    text: LineText
    quantity: Count
    unit_amount: Cents
    currency: Currency

    def __post_init__(self) -> None:
        if self.unit_amount.value < 0 and not self.text.may_be_credit:
            raise OutboundValueInvalid("CreateInvoiceItem.unit_amount")

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/invoiceitems."""
        params = (
            ("customer", str(self.customer)),
            ("invoice", str(self.invoice)),
            ("description", self.text.description),
            ("quantity_decimal", str(self.quantity)),
            ("unit_amount_decimal", str(self.unit_amount)),
            ("currency", self.currency.value),
        )
        return EncodedRequest(Operation.CREATE_INVOICE_ITEM, "POST", "/v1/invoiceitems", params)


@dataclass(frozen=True, slots=True)
class FinalizeInvoice(OutboundRequest[InboundInvoice]):
    """Make a draft whose total was compared with ours payable; Stripe collects from here on."""

    invoice: StripeId

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/invoices/{invoice}/finalize."""
        require_prefix(self.invoice, "in_")
        path = f"/v1/invoices/{self.invoice}/finalize"
        return EncodedRequest(Operation.FINALIZE_INVOICE, "POST", path, (("auto_advance", "true"),))


@dataclass(frozen=True, slots=True)
class PayInvoice(OutboundRequest[InboundInvoice]):
    """Settle an open invoice: try the payment method on file again, or take it as paid by check or wire."""

    invoice: StripeId
    how: Settlement = Settlement.METHOD_ON_FILE

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/invoices/{invoice}/pay."""
        require_prefix(self.invoice, "in_")
        outside = (("paid_out_of_band", "true"),) if self.how is Settlement.OUT_OF_BAND else ()
        return EncodedRequest(Operation.PAY_INVOICE, "POST", f"/v1/invoices/{self.invoice}/pay", outside)


@dataclass(frozen=True, slots=True)
class VoidInvoice(OutboundRequest[InboundInvoice]):
    """Void an open invoice for good."""

    invoice: StripeId

    def encode(self) -> EncodedRequest:
        """Render as POST /v1/invoices/{invoice}/void."""
        require_prefix(self.invoice, "in_")
        return EncodedRequest(Operation.VOID_INVOICE, "POST", f"/v1/invoices/{self.invoice}/void")
