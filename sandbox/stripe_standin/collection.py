"""From draft to paid: finalize, send, collect, pay, void, write off."""

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import card_declined, invalid_request
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.invoice_shape import customer_snapshot
from sandbox.stripe_standin.invoices import require_email
from sandbox.stripe_standin.payments import (
    cancel_payment,
    mark_paid,
    open_payment,
    receive,
    record_attempt,
    settle_out_of_band,
)

# Stripe's smallest charge in US dollars: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
LEAST_CHARGE = 50
CARDS = frozenset({"succeeds", "declined", "processing", "requires_action", "none"})


def finalize_invoice(account: Account, params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}/finalize."""
    invoice = account.find("invoice", invoice_id)
    if invoice["status"] != "draft":
        message = "This invoice is already finalized, you can't re-finalize a non-draft invoice."
        raise invalid_request(message, code="invoice_not_editable")
    customer = account.named("customer", invoice["customer"], "customer")
    require_email(account, invoice)
    auto_advance = params.get("auto_advance", invoice["auto_advance"])
    change(account, invoice, {**_final_fields(account, invoice, customer), "auto_advance": auto_advance})
    emit(account, "invoice.finalized", invoice)
    _apply_balance(account, invoice, customer)
    if not invoice["amount_due"]:
        change(account, invoice, {"attempted": True})
        mark_paid(account, invoice)
        return invoice
    open_payment(account, invoice)
    if auto_advance:
        _advance(account, invoice)
    return invoice


def send_invoice(account: Account, _params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}/send: finalizes a draft first."""
    invoice = account.find("invoice", invoice_id)
    if invoice["collection_method"] != "send_invoice":
        message = "You can only manually send an invoice if its collection method is 'send_invoice'."
        raise invalid_request(message)
    if invoice["status"] == "draft":
        finalize_invoice(account, {"auto_advance": False}, invoice_id)
    require_email(account, invoice)
    if invoice["status"] == "open":
        emit(account, "invoice.sent", invoice)
    return invoice


def pay_invoice(account: Account, params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}/pay: charge the customer's card now, or record money from elsewhere."""
    invoice = account.find("invoice", invoice_id)
    if invoice["status"] == "paid":
        raise invalid_request("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] == "draft":
        finalize_invoice(account, {"auto_advance": False}, invoice_id)
        if invoice["status"] == "paid":
            return invoice
    require_status(invoice, ("open", "uncollectible"), "pay")
    if params.get("paid_out_of_band"):
        settle_out_of_band(account, invoice)
        return invoice
    card = card_of(account, invoice["customer"])
    if card == "none":
        message = (
            "There is no `default_payment_method` set on this Customer or Invoice. "
            "Please set either the `default_payment_method` on the Customer or the Invoice."
        )
        raise invalid_request(message)
    intent = charge_card(account, invoice, card)
    if card == "declined" and intent:
        raise card_declined(intent)
    return invoice


def void_invoice(account: Account, _params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}/void."""
    invoice = account.find("invoice", invoice_id)
    require_status(invoice, ("open", "uncollectible"), "void")
    cancel_payment(account, invoice)
    times = {**invoice["status_transitions"], "voided_at": account.now()}
    change(account, invoice, {"status": "void", "status_transitions": times, "next_payment_attempt": None})
    emit(account, "invoice.voided", invoice)
    return invoice


def mark_uncollectible(account: Account, _params: Json, invoice_id: str) -> Json:
    """POST /v1/invoices/{id}/mark_uncollectible: it can still be paid or voided later."""
    invoice = account.find("invoice", invoice_id)
    require_status(invoice, ("open",), "mark as uncollectible")
    times = {**invoice["status_transitions"], "marked_uncollectible_at": account.now()}
    change(account, invoice, {"status": "uncollectible", "status_transitions": times, "next_payment_attempt": None})
    emit(account, "invoice.marked_uncollectible", invoice)
    return invoice


def finalize_due_drafts(account: Account) -> list[Json]:
    """Finalize the drafts whose hour is over, as Stripe does for `auto_advance`."""
    due = [
        invoice
        for invoice in account.state.tables["invoice"].oldest_first()
        if invoice["status"] == "draft"
        and (invoice["automatically_finalizes_at"] or account.now() + 1) <= account.now()
    ]
    return [finalize_invoice(account, {}, invoice["id"]) for invoice in due]


def card_of(account: Account, customer_id: str) -> str:
    """Return how the customer's card behaves: a word of `CARDS`."""
    return account.setting(f"card:{customer_id}") or account.setting("card") or account.default_card


def charge_card(account: Account, invoice: Json, card: str) -> Json | None:
    """Try a card that behaves in this way; returns the intent of an attempt that brought no money."""
    if card == "succeeds":
        receive(account, invoice, invoice["amount_remaining"])
        return None
    return record_attempt(account, invoice, "declined" if card == "none" else card)


def _advance(account: Account, invoice: Json) -> None:
    if invoice["collection_method"] == "send_invoice":
        emit(account, "invoice.sent", invoice)
    else:
        charge_card(account, invoice, card_of(account, invoice["customer"]))


def _final_fields(account: Account, invoice: Json, customer: Json) -> Json:
    page = f"{account.base_url}/_hosted/{invoice['id']}"
    sequence = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] += 1
    customer["currency"] = customer["currency"] or invoice["currency"]
    account.save(customer)
    return {
        **customer_snapshot(customer),
        "automatically_finalizes_at": None,
        "effective_at": account.now(),
        "hosted_invoice_url": page,
        "invoice_pdf": f"{page}/pdf",
        "number": invoice["number"] or f"{customer['invoice_prefix']}-{sequence:04d}",
        "status": "open",
        "status_transitions": {**invoice["status_transitions"], "finalized_at": account.now()},
    }


def _apply_balance(account: Account, invoice: Json, customer: Json) -> None:
    """Add what the customer owes or has as credit; less than the smallest charge moves to the balance."""
    start: int = customer["balance"]
    owed = invoice["total"] + start
    due = owed if owed >= LEAST_CHARGE else 0
    change(
        account,
        invoice,
        {"starting_balance": start, "ending_balance": owed - due, "amount_due": due, "amount_remaining": due},
    )
    change(account, customer, {"balance": owed - due})


def require_status(invoice: Json, allowed: tuple[str, ...], verb: str) -> None:
    """Refuse an action that the invoice's status does not allow."""
    if invoice["status"] not in allowed:
        message = f"You can only {verb} invoices that are {' or '.join(allowed)}; this invoice is {invoice['status']}."
        raise invalid_request(message, param="invoice", code="invoice_not_editable")
