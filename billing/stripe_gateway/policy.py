"""The table of what may leave: per operation its method, path and parameters, each with a grammar for its value.

Written apart from the encoders in `outbound.py` on purpose, texts included: a mistake made there is caught here, and
widening what leaves takes two edits. Raise `POLICY_VERSION` with every change; incidents and evidence name it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from billing.stripe_gateway.operation import Operation

POLICY_VERSION = "2"

Values = Mapping[str, str]

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
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


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """Grammar of one value. A variable one must also equal what the ledger expects; a constant one has one value."""

    pattern: re.Pattern[str]
    variable: bool = True
    required: bool = True


def _constant(text: str) -> ParameterRule:
    return ParameterRule(re.compile(re.escape(text)), variable=False)


def _one_of(*texts: str) -> ParameterRule:
    return ParameterRule(re.compile("|".join(re.escape(text) for text in texts)))


def _like(pattern: str, *, required: bool = True) -> ParameterRule:
    return ParameterRule(re.compile(pattern), required=required)


def _stripe_id(prefix: str, *, required: bool = True) -> ParameterRule:
    return _like(rf"{prefix}_[A-Za-z0-9]{{1,64}}", required=required)


def _nothing_to_combine(_values: Values) -> str | None:
    return None


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


def _item_disagrees(values: Values) -> str | None:
    """Only discounts and adjustments may be credits (decision 13)."""
    if values["unit_amount_decimal"].startswith("-") and values["description"] not in CREDIT_TEXTS:
        return "unit_amount_decimal"
    return None


@dataclass(frozen=True, slots=True)
class OperationRule:
    """One permitted call. `{name}` in the template stands for a Stripe id and is a variable of that name."""

    operation: Operation
    method: str
    template: str
    parameters: Mapping[str, ParameterRule]
    disagrees: Callable[[Values], str | None] = _nothing_to_combine
    path: re.Pattern[str] = field(init=False)
    path_names: tuple[str, ...] = field(init=False)
    required: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Compile the template once."""
        pattern = re.escape(self.template)
        for name, rule in _PATH_IDS.items():
            pattern = pattern.replace(re.escape(name), f"({rule.pattern.pattern})")
        object.__setattr__(self, "path", re.compile(pattern))
        object.__setattr__(self, "path_names", tuple(re.findall(r"\{[a-z]+\}", self.template)))
        object.__setattr__(self, "required", frozenset(n for n, rule in self.parameters.items() if rule.required))

    @property
    def variables(self) -> frozenset[str]:
        """Names an `Expectation` may have to cover: path ids in braces, then every parameter that is no constant."""
        return frozenset({*self.path_names, *(name for name, rule in self.parameters.items() if rule.variable)})


_PATH_IDS = {"{customer}": _stripe_id("cus"), "{invoice}": _stripe_id("in")}
_PAGE = _constant("100")
_NEW_INVOICE = {
    "customer": _stripe_id("cus"),
    "auto_advance": _constant("false"),
    "pending_invoice_items_behavior": _constant("exclude"),
    "collection_method": _one_of("send_invoice", "charge_automatically"),
    # A year is the longest term anybody agrees on.
    "days_until_due": _like(r"(?:[1-9]|[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-5])", required=False),
    "currency": _one_of("usd"),
    "description": _one_of(*INVOICE_TEXTS.values()),
    "metadata[invoice_id]": _like(_UUID4),
    "metadata[cycle]": _like(r"20[0-9]{2}-(?:0[1-9]|1[0-2])", required=False),
    "metadata[kind]": _one_of(*INVOICE_TEXTS),
}
_NEW_ITEM = {
    "customer": _stripe_id("cus"),
    "invoice": _stripe_id("in"),
    "description": _one_of(*LINE_TEXTS),
    # 1 to 1,000,000: no office is larger than the whole network.
    "quantity_decimal": _like(r"(?:[1-9][0-9]{0,5}|1000000)"),
    "unit_amount_decimal": _like(_MINOR_UNITS),
    "currency": _one_of("usd"),
}
_NEW_CUSTOMER = {
    "name": _like(r"[!-~](?:[ -~]{0,98}[!-~])?"),
    "email": _like(r"(?=.{3,254}\Z)[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", required=False),
    "metadata[office_id]": _like(_UUID4),
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
        # Nine or ten digits: the years 2000 to 2100 and a little more.
        {
            "created[gte]": _like(r"[1-9][0-9]{8,9}"),
            "limit": _PAGE,
            "starting_after": _stripe_id("cus", required=False),
        },
    ),
    OperationRule(Operation.RETRIEVE_CUSTOMER, "GET", "/v1/customers/{customer}", {}),
    OperationRule(Operation.CREATE_INVOICE, "POST", "/v1/invoices", _NEW_INVOICE, _invoice_disagrees),
    OperationRule(
        Operation.LIST_INVOICES,
        "GET",
        "/v1/invoices",
        {"customer": _stripe_id("cus"), "limit": _PAGE, "starting_after": _stripe_id("in", required=False)},
    ),
    OperationRule(Operation.RETRIEVE_INVOICE, "GET", "/v1/invoices/{invoice}", {"expand[]": _constant("payments")}),
    OperationRule(
        Operation.LIST_INVOICE_LINES,
        "GET",
        "/v1/invoices/{invoice}/lines",
        {"limit": _PAGE, "starting_after": _stripe_id("il", required=False)},
    ),
    OperationRule(Operation.CREATE_INVOICE_ITEM, "POST", "/v1/invoiceitems", _NEW_ITEM, _item_disagrees),
    OperationRule(
        Operation.FINALIZE_INVOICE, "POST", "/v1/invoices/{invoice}/finalize", {"auto_advance": _constant("true")}
    ),
    OperationRule(Operation.PAY_INVOICE, "POST", "/v1/invoices/{invoice}/pay", {}),
    OperationRule(Operation.VOID_INVOICE, "POST", "/v1/invoices/{invoice}/void", {}),
)

VOCABULARY: frozenset[str] = frozenset(name for rule in RULES for name in (*rule.parameters, *rule.path_names))
"""Every name a refusal may mention; any other name could itself be what must not be written down."""


def rule_for(operation: Operation) -> OperationRule:
    """Return the rule of an operation, e.g. to see which `variables` its expectation has to cover."""
    return next(rule for rule in RULES if rule.operation is operation)
