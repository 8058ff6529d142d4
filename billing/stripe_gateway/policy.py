"""The table of what may leave: per operation its method, path and parameters, each with a grammar for its value.

Written apart from the encoders in `outbound.py` on purpose, texts included: a mistake made there is caught here, and
widening what leaves takes two edits. Raise `POLICY_VERSION` with every change; incidents and evidence name it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.policy_grammar import (
    OperationRule,
    ParameterRule,
    Values,
    constant,
    like,
    one_of,
    one_selection,
    stripe_id,
)

POLICY_VERSION = "3"

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_POSITIVE = r"[1-9][0-9]{0,7}"
_MINOR_UNITS = r"(?:0|-?[1-9][0-9]{0,7})"  # at most eight digits: Stripe's largest amount

INVOICE_TEXTS: Values = MappingProxyType(
    {
        "monthly": "Monthly patient account services",
        "setup_fee": "Account setup",
        "one_off": "Additional services",
    }
)
LINE_TEXTS = frozenset(
    {
        "Newly activated patient accounts",
        "Active patient accounts",
        "Setup fee",
        "One-off charge",
        "Monthly base fee",
        "Monthly minimum",
        "Discount",
        "Adjustment for earlier months",
    }
)
CREDIT_TEXTS = frozenset({"Discount", "Adjustment for earlier months"})


def _invoice_disagrees(values: Values) -> str | None:
    """Name the parameter of a new invoice that does not fit the others, None when all agree."""
    kind = values["metadata[kind]"]
    if values["description"] != INVOICE_TEXTS.get(kind):
        return "description"
    if ("metadata[cycle]" in values) != (kind == "monthly"):
        return "metadata[cycle]"
    if ("days_until_due" in values) != (values["collection_method"] == "send_invoice"):
        return "days_until_due"
    return None


def _credit_note_disagrees(values: Values) -> str | None:
    """A refund or an out-of-band credit is the whole amount, and never both (decisions.md 21)."""
    parts = [name for name in ("refund_amount", "out_of_band_amount") if name in values]
    if len(parts) > 1:
        return parts[1]
    return next((name for name in parts if values[name] != values["amount"]), None)


def _item_disagrees(values: Values) -> str | None:
    """Only discounts and adjustments may be credits (decision 13)."""
    if values["unit_amount_decimal"].startswith("-") and values["description"] not in CREDIT_TEXTS:
        return "unit_amount_decimal"
    return None


_PAGE = constant("100")
# Nine or ten digits: the years 2000 to 2100 and a little more.
_SECONDS = like(r"[1-9][0-9]{8,9}")
_WINDOW = {name: like(r"[1-9][0-9]{8,9}", required=False) for name in ("created[gte]", "created[lt]")}
_MONEY_BACK_OF = (("payment_intent",), tuple(_WINDOW))


def _money_back(prefix: str) -> Mapping[str, ParameterRule]:
    return {
        "payment_intent": stripe_id("pi", required=False),
        **_WINDOW,
        "limit": _PAGE,
        "starting_after": stripe_id(prefix, required=False),
    }


_NEW_INVOICE = {
    "customer": stripe_id("cus"),
    "auto_advance": constant("false"),
    "pending_invoice_items_behavior": constant("exclude"),
    "collection_method": one_of("send_invoice", "charge_automatically"),
    # A year is the longest term anybody agrees on.
    "days_until_due": like(r"(?:[1-9]|[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-5])", required=False),
    "currency": one_of("usd"),
    "description": one_of(*INVOICE_TEXTS.values()),
    "metadata[invoice_id]": like(_UUID4),
    "metadata[cycle]": like(r"20[0-9]{2}-(?:0[1-9]|1[0-2])", required=False),
    "metadata[kind]": one_of(*INVOICE_TEXTS),
}
_NEW_ITEM = {
    "customer": stripe_id("cus"),
    "invoice": stripe_id("in"),
    "description": one_of(*LINE_TEXTS),
    # 1 to 1,000,000: no office is larger than the whole network.
    "quantity_decimal": like(r"(?:[1-9][0-9]{0,5}|1000000)"),
    "unit_amount_decimal": like(_MINOR_UNITS),
    "currency": one_of("usd"),
}
_NEW_CREDIT_NOTE = {
    "invoice": stripe_id("in"),
    "amount": like(_POSITIVE),
    "refund_amount": like(_POSITIVE, required=False),
    "out_of_band_amount": like(_POSITIVE, required=False),
    "reason": one_of("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
    "metadata[credit_note_id]": like(_UUID4),
}
_NEW_CUSTOMER = {
    "name": like(r"[!-~](?:[ -~]{0,98}[!-~])?"),
    "email": like(r"(?=.{3,254}\Z)[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", required=False),
    "metadata[office_id]": like(_UUID4),
}

RULES: tuple[OperationRule, ...] = (
    OperationRule(Operation.CREATE_CUSTOMER, "POST", "/v1/customers", _NEW_CUSTOMER),
    OperationRule(
        Operation.UPDATE_CUSTOMER,
        "POST",
        "/v1/customers/{customer}",
        {name: rule for name, rule in _NEW_CUSTOMER.items() if name in {"name", "email"}},
    ),
    OperationRule(
        Operation.LIST_CUSTOMERS,
        "GET",
        "/v1/customers",
        {
            "created[gte]": _SECONDS,
            "limit": _PAGE,
            "starting_after": stripe_id("cus", required=False),
        },
    ),
    OperationRule(Operation.RETRIEVE_CUSTOMER, "GET", "/v1/customers/{customer}", {}),
    OperationRule(Operation.CREATE_INVOICE, "POST", "/v1/invoices", _NEW_INVOICE, _invoice_disagrees),
    OperationRule(
        Operation.LIST_INVOICES,
        "GET",
        "/v1/invoices",
        {
            "customer": stripe_id("cus", required=False),
            **_WINDOW,
            "expand[]": like("data\\.payments", required=False),
            "limit": _PAGE,
            "starting_after": stripe_id("in", required=False),
        },
        one_selection(("customer",), (*_WINDOW, "expand[]")),
    ),
    OperationRule(Operation.RETRIEVE_INVOICE, "GET", "/v1/invoices/{invoice}", {"expand[]": constant("payments")}),
    OperationRule(
        Operation.LIST_INVOICE_LINES,
        "GET",
        "/v1/invoices/{invoice}/lines",
        {"limit": _PAGE, "starting_after": stripe_id("il", required=False)},
    ),
    OperationRule(Operation.CREATE_INVOICE_ITEM, "POST", "/v1/invoiceitems", _NEW_ITEM, _item_disagrees),
    OperationRule(
        Operation.FINALIZE_INVOICE, "POST", "/v1/invoices/{invoice}/finalize", {"auto_advance": constant("true")}
    ),
    # Paid elsewhere or by the method on file: the ledger says which, so it is no constant.
    OperationRule(
        Operation.PAY_INVOICE,
        "POST",
        "/v1/invoices/{invoice}/pay",
        {"paid_out_of_band": like("true", required=False)},
    ),
    OperationRule(Operation.VOID_INVOICE, "POST", "/v1/invoices/{invoice}/void", {}),
    OperationRule(Operation.MARK_UNCOLLECTIBLE, "POST", "/v1/invoices/{invoice}/mark_uncollectible", {}),
    OperationRule(Operation.CREATE_CREDIT_NOTE, "POST", "/v1/credit_notes", _NEW_CREDIT_NOTE, _credit_note_disagrees),
    OperationRule(
        Operation.LIST_CREDIT_NOTES,
        "GET",
        "/v1/credit_notes",
        {
            "invoice": stripe_id("in", required=False),
            **_WINDOW,
            "limit": _PAGE,
            "starting_after": stripe_id("cn", required=False),
        },
        one_selection(("invoice",), tuple(_WINDOW)),
    ),
    OperationRule(Operation.RETRIEVE_CREDIT_NOTE, "GET", "/v1/credit_notes/{credit_note}", {}),
    OperationRule(
        Operation.LIST_INVOICE_PAYMENTS,
        "GET",
        "/v1/invoice_payments",
        {
            "invoice": stripe_id("in", required=False),
            "payment[type]": like("payment_intent", required=False),
            "payment[payment_intent]": stripe_id("pi", required=False),
            "limit": _PAGE,
            "starting_after": stripe_id("inpay", required=False),
        },
        one_selection(("invoice",), ("payment[type]", "payment[payment_intent]")),
    ),
    OperationRule(
        Operation.LIST_PENDING_ITEMS,
        "GET",
        "/v1/invoiceitems",
        {"pending": constant("true"), "limit": _PAGE, "starting_after": stripe_id("ii", required=False)},
    ),
    OperationRule(Operation.RETRIEVE_PAYMENT_INTENT, "GET", "/v1/payment_intents/{payment_intent}", {}),
    OperationRule(Operation.RETRIEVE_CHARGE, "GET", "/v1/charges/{charge}", {}),
    OperationRule(
        Operation.LIST_REFUNDS, "GET", "/v1/refunds", _money_back("(?:re|pyr)"), one_selection(*_MONEY_BACK_OF)
    ),
    OperationRule(Operation.RETRIEVE_REFUND, "GET", "/v1/refunds/{refund}", {}),
    OperationRule(
        Operation.LIST_DISPUTES, "GET", "/v1/disputes", _money_back("(?:dp|du)"), one_selection(*_MONEY_BACK_OF)
    ),
    OperationRule(Operation.RETRIEVE_DISPUTE, "GET", "/v1/disputes/{dispute}", {}),
    OperationRule(
        Operation.LIST_EVENTS,
        "GET",
        "/v1/events",
        {
            "created[gte]": _SECONDS,
            "created[lt]": _SECONDS,
            "limit": _PAGE,
            "starting_after": like("evt_[A-Za-z0-9]{1,64}", required=False),
        },
    ),
)

VOCABULARY: frozenset[str] = frozenset(name for rule in RULES for name in (*rule.parameters, *rule.path_names))
"""Every name a refusal may mention; any other name could itself be what must not be written down."""


def rule_for(operation: Operation) -> OperationRule:
    """Return the rule of an operation, e.g. to see which `variables` its expectation has to cover."""
    return next(rule for rule in RULES if rule.operation is operation)
