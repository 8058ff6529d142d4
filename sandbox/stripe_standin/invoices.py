"""Invoices while they are drafts: create, change, read, delete."""

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.customers import merged_metadata
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter, invalid_request
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.invoice_shape import blank_invoice, recount
from sandbox.stripe_standin.lines import attach
from sandbox.stripe_standin.listing import page

# A draft with auto_advance finalizes by itself after about an hour.
AUTO_FINALIZE_SECONDS = 3600
_DAY = 24 * 3600
DESCRIPTION_LENGTH, NUMBER_LENGTH = 1500, 26

_PLAIN = ("description", "footer", "number", "statement_descriptor", "custom_fields", "default_payment_method")
# What may still change once an invoice is final.
_EDITABLE_WHEN_FINAL = frozenset(
    {"metadata", "auto_advance", "description", "footer", "due_date", "days_until_due", "expand"}
)


def create_invoice(account: Account, params: Json, _object_id: str) -> Json:
    """POST /v1/invoices."""
    if "customer" not in params:
        raise invalid_parameter("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = account.named("customer", params["customer"], "customer")
    currency = params.get("currency") or customer["currency"] or "usd"
    invoice = blank_invoice(account, customer, currency.lower())
    invoice.update({name: params[name] for name in _PLAIN if name in params})
    invoice["metadata"] = merged_metadata({}, params)
    _set_collection(account, invoice, params)
    account.save(recount(account, invoice))
    if params.get("pending_invoice_items_behavior") == "include":
        _sweep_pending_items(account, invoice)
    emit(account, "invoice.created", invoice)
    return invoice


def retrieve_invoice(account: Account, _params: Json, invoice_id: str) -> Json:
    """GET /v1/invoices/{id}."""
    return account.find("invoice", invoice_id)


def list_invoices(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/invoices."""
    return page(account, "invoice", params, "/v1/invoices")


def update_invoice(account: Account, params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}."""
    invoice = account.find("invoice", invoice_id)
    if invoice["status"] != "draft" and not params.keys() <= _EDITABLE_WHEN_FINAL:
        raise invalid_request("Finalized invoices can't be updated in this way.", code="invoice_not_editable")
    changes: Json = {name: params[name] or None for name in _PLAIN if name in params}
    changes["metadata"] = merged_metadata(invoice["metadata"], params)
    changed = {**invoice, **changes}
    _set_collection(account, changed, params)
    return change(account, invoice, changed)


def delete_invoice(account: Account, _params: Json, invoice_id: str) -> Json:
    """DELETE /v1/invoices/{id}: drafts only."""
    invoice = account.find("invoice", invoice_id)
    if invoice["status"] != "draft":
        message = "You can only delete draft invoices. Use the void endpoint instead."
        raise invalid_request(message, code="invoice_not_editable")
    for kind in ("line_item", "invoiceitem"):
        for row in account.state.tables[kind].where("invoice", invoice_id):
            account.state.remove(kind, row["id"])
    account.state.remove("invoice", invoice_id)
    emit(account, "invoice.deleted", invoice)
    return {"id": invoice_id, "object": "invoice", "deleted": True}


def require_email(account: Account, invoice: Json) -> None:
    """Refuse to send an invoice to a customer without an e-mail address, in Stripe's words."""
    customer = account.state.tables["customer"].get(invoice["customer"])
    if invoice["collection_method"] == "send_invoice" and not (customer and customer.get("email")):
        raise invalid_request(
            "Missing email. In order to create invoices that are sent to the customer, "
            "the customer must have a valid email."
        )


def _set_collection(account: Account, invoice: Json, params: Json) -> None:
    invoice["collection_method"] = params.get("collection_method", invoice["collection_method"])
    invoice["auto_advance"] = params.get("auto_advance", invoice["auto_advance"])
    is_sent = invoice["collection_method"] == "send_invoice"
    for name in ("days_until_due", "due_date"):
        if name in params and not is_sent:
            message = f"You can only specify `{name}` if invoice collection method is `send_invoice`."
            raise invalid_request(message, param=name)
    if "days_until_due" in params:
        invoice["due_date"] = account.now() + params["days_until_due"] * _DAY
    elif "due_date" in params:
        invoice["due_date"] = params["due_date"]
    if is_sent and invoice["due_date"] is None:
        message = "You must pass `days_until_due` or `due_date` when `collection_method` is `send_invoice`."
        raise invalid_request(message, param="days_until_due")
    require_email(account, invoice)
    if invoice["status"] == "draft":
        finalizes_at = account.now() + AUTO_FINALIZE_SECONDS if invoice["auto_advance"] else None
        invoice["automatically_finalizes_at"] = params.get("automatically_finalizes_at", finalizes_at)


def _sweep_pending_items(account: Account, invoice: Json) -> None:
    for item in account.state.tables["invoiceitem"].where("customer", invoice["customer"]):
        if item["invoice"] is None and item["currency"] == invoice["currency"]:
            attach(account, item, invoice)
