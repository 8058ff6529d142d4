"""Invoice items and the lines they become: added to drafts only, priced exactly, rounded half up to the cent."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from sandbox.stripe_standin.account import Account, new_id
from sandbox.stripe_standin.customers import merged_metadata
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter, invalid_request, resource_missing
from sandbox.stripe_standin.events import emit
from sandbox.stripe_standin.invoice_shape import recount
from sandbox.stripe_standin.listing import DEFAULT_LIMIT, page, page_of

# "a maximum of 250 items per invoice": the description of `invoice` in InvoiceItemCreateParams.
ITEMS_PER_INVOICE = 250
# Stripe's bound for one amount, eight digits.
GREATEST_AMOUNT = 99_999_999


def create_item(account: Account, params: Json, _object_id: str) -> Json:
    """POST /v1/invoiceitems: onto the draft it names, or pending on the customer."""
    invoice = _draft(account, params["invoice"], "invoice") if "invoice" in params else None
    customer = _customer_of(account, params, invoice)
    item = _priced_item(account, params, customer, invoice)
    account.save(item)
    emit(account, "invoiceitem.created", item)
    if invoice:
        attach(account, item, invoice)
        emit(account, "invoice.updated", invoice)
    return item


def retrieve_item(account: Account, _params: Json, item_id: str) -> Json:
    """GET /v1/invoiceitems/{id}."""
    return account.find("invoiceitem", item_id)


def list_items(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/invoiceitems; `pending` tells apart those not on an invoice yet."""

    def fits(item: Json) -> bool:
        return "pending" not in params or (item["invoice"] is None) == params["pending"]

    return page(account, "invoiceitem", params, "/v1/invoiceitems", keep=fits)


def delete_item(account: Account, _params: Json, item_id: str) -> Json:
    """DELETE /v1/invoiceitems/{id}: pending ones and those on drafts."""
    item = account.find("invoiceitem", item_id)
    invoice = _draft(account, item["invoice"], "id") if item["invoice"] else None
    account.state.remove("invoiceitem", item_id)
    emit(account, "invoiceitem.deleted", item)
    if invoice:
        for line in account.state.tables["line_item"].where("invoice", invoice["id"]):
            if line["parent"]["invoice_item_details"]["invoice_item"] == item_id:
                account.state.remove("line_item", line["id"])
        account.save(recount(account, invoice))
    return {"id": item_id, "object": "invoiceitem", "deleted": True}


def add_lines(account: Account, params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}/add_lines: all of them or none."""
    account.find("invoice", invoice_id)
    invoice = _draft(account, invoice_id, "id")
    customer = account.named("customer", invoice["customer"], "customer")
    items = [_priced_line(account, row, customer, invoice, index) for index, row in enumerate(params["lines"])]
    _require_room(account, invoice, len(items))
    if "invoice_metadata" in params:
        invoice["metadata"] = merged_metadata(invoice["metadata"], params, "invoice_metadata")
    for item in items:
        account.save(item)
        attach(account, item, invoice)
    emit(account, "invoice.updated", invoice)
    return invoice


def list_lines(account: Account, params: Json, invoice_id: str) -> Json:
    """GET /v1/invoices/{id}/lines."""
    account.find("invoice", invoice_id)
    rows = account.state.tables["line_item"].where("invoice", invoice_id)
    return page_of(rows, params, params.get("limit", DEFAULT_LIMIT), f"/v1/invoices/{invoice_id}/lines")


def attach(account: Account, item: Json, invoice: Json) -> None:
    """Put an item on a draft as a line, and count the draft again."""
    _require_room(account, invoice, 1)
    item["invoice"] = invoice["id"]
    account.save(item)
    account.save(_line_of(account, item, invoice))
    account.save(recount(account, invoice))


def _draft(account: Account, invoice_id: str, param: str) -> Json:
    invoice = account.named("invoice", invoice_id, param)
    if invoice["status"] != "draft":
        message = "This invoice is no longer editable: items can only be added to or removed from a draft."
        raise invalid_request(message, param=param, code="invoice_not_editable")
    return invoice


def _customer_of(account: Account, params: Json, invoice: Json | None) -> Json:
    customer_id = params.get("customer") or (invoice["customer"] if invoice else None)
    if customer_id is None:
        raise invalid_parameter("Missing required param: customer.", param="customer", code="parameter_missing")
    if invoice and invoice["customer"] != customer_id:
        raise invalid_request("The invoice does not belong to this customer.", param="customer")
    return account.named("customer", customer_id, "customer")


def _require_room(account: Account, invoice: Json, count: int) -> None:
    if len(account.state.tables["line_item"].where("invoice", invoice["id"])) + count > ITEMS_PER_INVOICE:
        raise invalid_request(f"An invoice can have at most {ITEMS_PER_INVOICE} items.", param="invoice")


def _priced_line(account: Account, row: Json, customer: Json, invoice: Json, index: int) -> Json:
    # `add_lines` creates items like any other; only where its names differ are they told here.
    if "invoice_item" in row:
        return account.named("invoiceitem", row["invoice_item"], f"lines[{index}][invoice_item]")
    if not row.keys() & {"amount", "price_data", "pricing"}:
        message = "You must specify one of `amount`, `price_data` or `pricing`."
        raise invalid_parameter(message, param=f"lines[{index}][amount]", code="parameter_missing")
    return _priced_item(account, row, customer, invoice)


def _priced_item(account: Account, params: Json, customer: Json, invoice: Json | None) -> Json:
    currency = _currency_of(params, customer, invoice)
    price = _price_of(account, params)
    amount = _amount_of(params, price.unit_amount, price.quantity)
    now = account.now()
    return {
        "id": account.new_id("invoiceitem"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "date": now,
        "description": params.get("description"),
        "discountable": params.get("discountable", amount >= 0),
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": merged_metadata({}, params),
        "net_amount": amount,
        "parent": None,
        "period": params.get("period", {"end": now, "start": now}),
        "pricing": price.document(amount),
        "proration": False,
        "quantity": price.whole_quantity(),
        "quantity_decimal": _plain(price.quantity),
        "tax_rates": [],
        "test_clock": None,
    }


@dataclass(frozen=True)
class _Price:
    """How an item's amount comes about; without a unit amount the amount itself was given."""

    unit_amount: Decimal | None
    quantity: Decimal
    product: str | None

    def whole_quantity(self) -> int | None:
        return int(self.quantity) if self.quantity == self.quantity.to_integral_value() else None

    def document(self, amount: int) -> Json:
        details = {"price": new_id("price"), "product": self.product} if self.product else None
        unit = Decimal(amount) if self.unit_amount is None else self.unit_amount
        return {"price_details": details, "type": "price_details", "unit_amount_decimal": _plain(unit)}


def _price_of(account: Account, params: Json) -> _Price:
    price_data = params.get("price_data", {})
    whole: int = params.get("quantity", 1)
    given = [
        source[name]
        for source, name in (
            (price_data, "unit_amount_decimal"),
            (price_data, "unit_amount"),
            (params, "unit_amount_decimal"),
        )
        if name in source
    ]
    if len(given) > 1:
        message = "Only one of `unit_amount` and `unit_amount_decimal` can be set."
        raise invalid_parameter(message, param="unit_amount_decimal", code="parameter_unknown")
    unit_amount = Decimal(given[0]) if given else None
    quantity = Decimal(params.get("quantity_decimal", whole))
    return _Price(unit_amount, quantity, _product_of(account, params))


def _product_of(account: Account, params: Json) -> str | None:
    if "pricing" in params:
        raise resource_missing("price", params["pricing"].get("price", ""), param="pricing[price]", status=400)
    price_data = params.get("price_data", {})
    if "product" in price_data:
        product: str = account.named("product", price_data["product"], "price_data[product]")["id"]
        return product
    # An inline product has an id of its own but is not part of the catalogue.
    return account.new_id("product") if "product_data" in price_data else None


def _currency_of(params: Json, customer: Json, invoice: Json | None) -> str:
    given = params.get("price_data", {}).get("currency") or params.get("currency")
    currency: str | None = given or (invoice or customer)["currency"]
    if currency is None:
        raise invalid_parameter("Missing required param: currency.", param="currency", code="parameter_missing")
    currency = currency.lower()
    if len(currency) != 3 or not currency.isalpha():
        raise invalid_request(f"Invalid currency: {currency[:10]}.", param="currency")
    if invoice and invoice["currency"] != currency:
        message = f"The currency of the item must match that of the invoice, `{invoice['currency']}`."
        raise invalid_request(message, param="currency")
    return currency


def _amount_of(params: Json, unit_amount: Decimal | None, quantity: Decimal) -> int:
    if ("amount" in params) == (unit_amount is not None):
        message = "You must specify exactly one of `amount`, `unit_amount_decimal` or `price_data`."
        raise invalid_parameter(message, param="amount", code="parameter_missing")
    if quantity < 0:
        message = "Quantities must not be negative."
        raise invalid_parameter(message, param="quantity_decimal", code="parameter_invalid_integer")
    if unit_amount is None:
        if quantity != 1:
            raise invalid_request("You cannot combine `amount` with a quantity.", param="amount")
        amount: int = params["amount"]
    else:
        amount = int((unit_amount * quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if abs(amount) > GREATEST_AMOUNT:
        raise invalid_request("Amount must be no more than $999,999.99", param="amount", code="amount_too_large")
    return amount


def _line_of(account: Account, item: Json, invoice: Json) -> Json:
    copied = ("amount", "currency", "description", "discountable", "metadata", "period", "pricing", "quantity")
    details = {
        "invoice_item": item["id"],
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": None,
    }
    return {
        "id": account.new_id("line_item"),
        "object": "line_item",
        **{name: item[name] for name in (*copied, "quantity_decimal")},
        "discount_amounts": [],
        "discounts": [],
        "invoice": invoice["id"],
        "livemode": False,
        "parent": {"invoice_item_details": details, "subscription_item_details": None, "type": "invoice_item_details"},
        "pretax_credit_amounts": [],
        "subscription": None,
        "subtotal": item["amount"],
        "taxes": [],
    }


def _plain(number: Decimal) -> str:
    # No exponent and no trailing zeros: 200, 0.5.
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
