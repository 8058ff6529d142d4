"""Which parser reads the reply of which call; a page of a list is read object by object, odd ones set apart."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from billing.stripe_gateway import inbound_money_parsing as money
from billing.stripe_gateway import inbound_parsing as parsing
from billing.stripe_gateway.operation import Operation

Parser = Callable[[object], object]


def _list_of(parse_item: Parser) -> Parser:
    return lambda data: parsing.parse_list(data, parse_item)


PARSERS: Mapping[Operation, Parser] = MappingProxyType(
    {
        Operation.CREATE_CUSTOMER: parsing.parse_customer,
        Operation.UPDATE_CUSTOMER: parsing.parse_customer,
        Operation.LIST_CUSTOMERS: _list_of(parsing.parse_customer),
        Operation.RETRIEVE_CUSTOMER: parsing.parse_customer,
        Operation.CREATE_INVOICE: parsing.parse_invoice,
        Operation.LIST_INVOICES: _list_of(parsing.parse_invoice),
        Operation.RETRIEVE_INVOICE: parsing.parse_invoice,
        Operation.LIST_INVOICE_LINES: _list_of(parsing.parse_line),
        Operation.LIST_INVOICE_PAYMENTS: _list_of(parsing.parse_payment),
        Operation.LIST_PENDING_ITEMS: _list_of(parsing.parse_invoice_item),
        Operation.CREATE_INVOICE_ITEM: parsing.parse_invoice_item,
        Operation.FINALIZE_INVOICE: parsing.parse_invoice,
        Operation.PAY_INVOICE: parsing.parse_invoice,
        Operation.VOID_INVOICE: parsing.parse_invoice,
        Operation.MARK_UNCOLLECTIBLE: parsing.parse_invoice,
        Operation.CREATE_CREDIT_NOTE: money.parse_credit_note,
        Operation.LIST_CREDIT_NOTES: _list_of(money.parse_credit_note),
        Operation.RETRIEVE_CREDIT_NOTE: money.parse_credit_note,
        Operation.RETRIEVE_PAYMENT_INTENT: money.parse_payment_intent,
        Operation.RETRIEVE_CHARGE: money.parse_charge,
        Operation.LIST_REFUNDS: _list_of(money.parse_refund),
        Operation.RETRIEVE_REFUND: money.parse_refund,
        Operation.LIST_DISPUTES: _list_of(money.parse_dispute),
        Operation.RETRIEVE_DISPUTE: money.parse_dispute,
        Operation.LIST_EVENTS: _list_of(money.parse_event),
    }
)
