"""Customers and the catalogue's products: the objects an invoice points at."""

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.listing import page

# Fields a caller may set that are stored as they came.
_PLAIN = ("address", "balance", "description", "email", "name", "phone", "shipping", "tax_exempt", "preferred_locales")

_EMPTY_AT_FIRST = (
    *("address", "currency", "default_source", "description", "discount", "email", "name", "phone"),
    *("shipping", "test_clock"),
)


def create_customer(account: Account, params: Json, _object_id: str) -> Json:
    """POST /v1/customers."""
    customer_id = account.new_id("customer")
    customer: Json = {
        "id": customer_id,
        "object": "customer",
        **dict.fromkeys(_EMPTY_AT_FIRST),
        "balance": 0,
        "created": account.now(),
        "delinquent": False,
        "invoice_prefix": customer_id[-8:].upper(),
        "invoice_settings": _invoice_settings(params),
        "livemode": False,
        "metadata": merged_metadata({}, params),
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
    }
    customer.update({name: params[name] for name in _PLAIN if name in params})
    account.save(customer)
    emit(account, "customer.created", customer)
    return customer


def retrieve_customer(account: Account, _params: Json, customer_id: str) -> Json:
    """GET /v1/customers/{id}: a deleted customer is still shown, as a stub."""
    return account.find("customer", customer_id)


def update_customer(account: Account, params: Json, customer_id: str) -> Json:
    """POST /v1/customers/{id}."""
    account.find("customer", customer_id)
    customer = account.named("customer", customer_id, "id")
    changes = {name: params[name] or None for name in _PLAIN if name in params and name != "balance"}
    if "balance" in params:
        changes["balance"] = params["balance"]
    changes["metadata"] = merged_metadata(customer["metadata"], params)
    if "invoice_settings" in params:
        changes["invoice_settings"] = {**customer["invoice_settings"], **params["invoice_settings"]}
    return change(account, customer, changes)


def delete_customer(account: Account, _params: Json, customer_id: str) -> Json:
    """DELETE /v1/customers/{id}: the invoices stay, the customer becomes a stub."""
    account.find("customer", customer_id)
    customer = account.named("customer", customer_id, "id")
    emit(account, "customer.deleted", customer)
    return account.save({"id": customer_id, "object": "customer", "deleted": True})


def list_customers(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/customers."""
    return page(account, "customer", params, "/v1/customers")


def create_product(account: Account, params: Json, _object_id: str) -> Json:
    """POST /v1/products."""
    product: Json = {
        "id": params.get("id") or account.new_id("product"),
        "object": "product",
        "active": params.get("active", True),
        "created": account.now(),
        "default_price": None,
        "description": params.get("description"),
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": merged_metadata({}, params),
        "name": params["name"],
        "tax_code": params.get("tax_code"),
        "type": "service",
        "unit_label": params.get("unit_label"),
        "updated": account.now(),
        "url": None,
    }
    account.save(product)
    emit(account, "product.created", product)
    return product


def retrieve_product(account: Account, _params: Json, product_id: str) -> Json:
    """GET /v1/products/{id}."""
    return account.find("product", product_id)


def list_products(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/products."""
    return page(account, "product", params, "/v1/products")


def merged_metadata(current: Json, params: Json, name: str = "metadata") -> Json:
    """Return metadata after a write: keys are merged, an empty value removes one, an empty hash removes all."""
    given = params.get(name)
    if given == "":
        return {}
    return {key: value for key, value in {**current, **(given or {})}.items() if value != ""}


def _invoice_settings(params: Json) -> Json:
    blank = {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}
    return {**blank, **params.get("invoice_settings", {})}
