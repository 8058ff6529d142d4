"""Payments of an invoice: the payment intent, its charge, and the invoice payment that ties them to the invoice."""

from sandbox.stripe_standin.account import Account, new_id
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.listing import page

_RETRY_SECONDS = 3 * 24 * 3600


def open_payment(account: Account, invoice: Json) -> Json:
    """Create the default payment of an invoice that became final; Stripe does so at finalization."""
    return _new_payment(account, invoice, invoice["amount_remaining"], is_default=True)


def receive(account: Account, invoice: Json, amount: int) -> Json:
    """Record money of the customer for an invoice; less than due leaves it open, more is an overpayment."""
    remaining: int = invoice["amount_remaining"]
    payment = default_payment(account, invoice)
    if payment is None or amount < remaining:
        payment = _new_payment(account, invoice, amount, is_default=False)
    intent = account.find("payment_intent", payment["payment"]["payment_intent"])
    charge = _new_charge(account, intent, amount, "succeeded")
    emit(account, "charge.succeeded", charge)
    succeeded = {"amount": amount, "amount_received": amount, "status": "succeeded", "latest_charge": charge["id"]}
    change(account, intent, {**succeeded, "last_payment_error": None}, "payment_intent.succeeded")
    times = {**payment["status_transitions"], "paid_at": account.now()}
    paid = {"amount_paid": min(amount, remaining), "status": "paid", "status_transitions": times}
    change(account, payment, paid, "invoice_payment.paid")
    _credit(account, invoice, amount)
    return payment


def settle_out_of_band(account: Account, invoice: Json) -> None:
    """Mark an invoice paid with money that did not pass through Stripe."""
    cancel_payment(account, invoice)
    _credit(account, invoice, invoice["amount_remaining"])


def record_attempt(account: Account, invoice: Json, outcome: str) -> Json:
    """Record a charge attempt that brought no money yet: `declined`, `processing` or `requires_action`."""
    payment = default_payment(account, invoice) or open_payment(account, invoice)
    intent = account.find("payment_intent", payment["payment"]["payment_intent"])
    if outcome == "processing":
        change(account, intent, {"status": "processing"}, "payment_intent.processing")
        change(account, invoice, {"attempted": True})
        return intent
    if outcome == "declined":
        charge = _new_charge(account, intent, intent["amount"], "failed")
        emit(account, "charge.failed", charge)
        failed = {"status": "requires_payment_method", "latest_charge": charge["id"], "last_payment_error": _DECLINE}
        change(account, intent, failed, "payment_intent.payment_failed")
    else:
        change(account, intent, {"status": "requires_action"}, "payment_intent.requires_action")
    _count_attempt(account, invoice)
    emit(account, "invoice.payment_failed" if outcome == "declined" else "invoice.payment_action_required", invoice)
    return intent


def cancel_payment(account: Account, invoice: Json) -> None:
    """Cancel what is still open when an invoice is voided or settled otherwise."""
    payment = default_payment(account, invoice)
    if payment is None:
        return
    intent = account.find("payment_intent", payment["payment"]["payment_intent"])
    canceled = {"status": "canceled", "canceled_at": account.now(), "cancellation_reason": "void_invoice"}
    change(account, intent, canceled, "payment_intent.canceled")
    times = {**payment["status_transitions"], "canceled_at": account.now()}
    payment.update(status="canceled", status_transitions=times)
    account.save(payment)


def default_payment(account: Account, invoice: Json) -> Json | None:
    """Return the open default payment of an invoice, if any."""
    for payment in account.state.tables["invoice_payment"].where("invoice", invoice["id"]):
        if payment["is_default"] and payment["status"] == "open":
            return payment
    return None


def mark_paid(account: Account, invoice: Json) -> None:
    """Move an invoice to `paid` and tell the world."""
    times = {**invoice["status_transitions"], "paid_at": account.now()}
    change(account, invoice, {"status": "paid", "status_transitions": times, "next_payment_attempt": None})
    emit(account, "invoice.paid", invoice)
    if invoice["collection_method"] == "charge_automatically":
        # Invoices that are sent have no payment_succeeded: listen to invoice.paid.
        emit(account, "invoice.payment_succeeded", invoice)


def list_invoice_payments(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/invoice_payments."""
    wanted = params.get("payment", {})

    def fits(payment: Json) -> bool:
        return all(payment["payment"].get(name) == value for name, value in wanted.items())

    return page(account, "invoice_payment", params, "/v1/invoice_payments", keep=fits)


def retrieve_invoice_payment(account: Account, _params: Json, payment_id: str) -> Json:
    """GET /v1/invoice_payments/{id}."""
    return account.find("invoice_payment", payment_id)


def retrieve_intent(account: Account, _params: Json, intent_id: str) -> Json:
    """GET /v1/payment_intents/{id}."""
    return account.find("payment_intent", intent_id)


def list_intents(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/payment_intents."""
    return page(account, "payment_intent", params, "/v1/payment_intents")


def retrieve_charge(account: Account, _params: Json, charge_id: str) -> Json:
    """GET /v1/charges/{id}."""
    return account.find("charge", charge_id)


def list_charges(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/charges."""
    return page(account, "charge", params, "/v1/charges")


def _credit(account: Account, invoice: Json, amount: int) -> None:
    remaining = invoice["amount_remaining"]
    counted = min(amount, remaining)
    changes: Json = {
        "amount_paid": invoice["amount_paid"] + counted,
        "amount_remaining": remaining - counted,
        "amount_overpaid": invoice["amount_overpaid"] + amount - counted,
    }
    if invoice["collection_method"] == "charge_automatically":
        changes.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)
    change(account, invoice, changes)
    default = default_payment(account, invoice)
    if default and default["amount_requested"] != invoice["amount_remaining"]:
        default["amount_requested"] = invoice["amount_remaining"]
        account.save(default)
    if invoice["amount_overpaid"]:
        emit(account, "invoice.overpaid", invoice)
    if not invoice["amount_remaining"]:
        mark_paid(account, invoice)


def _count_attempt(account: Account, invoice: Json) -> None:
    again = account.now() + _RETRY_SECONDS if invoice["auto_advance"] else None
    attempts = invoice["attempt_count"] + 1
    change(account, invoice, {"attempted": True, "attempt_count": attempts, "next_payment_attempt": again})


def _new_payment(account: Account, invoice: Json, amount: int, *, is_default: bool) -> Json:
    intent = _new_intent(account, invoice, amount)
    payment: Json = {
        "id": account.new_id("invoice_payment"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": amount,
        "created": account.now(),
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": is_default,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    return account.save(payment)


# None in every payment intent of the stand-in.
_EMPTY_INTENT = (
    *("application", "application_fee_amount", "automatic_payment_methods", "canceled_at", "cancellation_reason"),
    *("customer_account", "last_payment_error", "latest_charge", "next_action", "on_behalf_of", "payment_method"),
    *("processing", "review", "setup_future_usage", "shipping", "source", "statement_descriptor"),
    *("statement_descriptor_suffix", "transfer_data", "transfer_group"),
)
_EMPTY_CHARGE = (
    *("application", "application_fee", "application_fee_amount", "dispute", "failure_balance_transaction"),
    *("on_behalf_of", "order", "receipt_email", "receipt_number", "review", "shipping", "source"),
    *("source_transfer", "statement_descriptor", "statement_descriptor_suffix", "transfer_data", "transfer_group"),
)
_DECLINE: Json = {
    "code": "card_declined",
    "decline_code": "generic_decline",
    "message": "Your card was declined.",
    "type": "card_error",
}


def _new_intent(account: Account, invoice: Json, amount: int) -> Json:
    intent_id = account.new_id("payment_intent")
    intent: Json = {
        "id": intent_id,
        "object": "payment_intent",
        **dict.fromkeys(_EMPTY_INTENT),
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_sandbox",
        "confirmation_method": "automatic",
        "created": account.now(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "description": "Payment for Invoice",
        "livemode": False,
        "metadata": {},
        "payment_details": {"customer_reference": None, "order_reference": invoice["id"]},
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "receipt_email": invoice["customer_email"],
        "status": "requires_payment_method",
    }
    account.save(intent)
    emit(account, "payment_intent.created", intent)
    return intent


def _new_charge(account: Account, intent: Json, amount: int, status: str) -> Json:
    succeeded = status == "succeeded"
    # The cardholder's name stands in every real charge, hence here: nothing may store a charge's body.
    person = {"address": None, "email": None, "name": "Sandbox Cardholder", "phone": None, "tax_id": None}
    charge: Json = {
        "id": account.new_id("charge"),
        "object": "charge",
        **dict.fromkeys(_EMPTY_CHARGE),
        "amount": amount,
        "amount_captured": amount if succeeded else 0,
        "amount_refunded": 0,
        "balance_transaction": new_id("txn") if succeeded else None,
        "billing_details": person,
        "captured": succeeded,
        "created": account.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": None if succeeded else _DECLINE["code"],
        "failure_message": None if succeeded else _DECLINE["message"],
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "outcome": {
            "network_status": "approved_by_network" if succeeded else "declined_by_network",
            "type": "authorized" if succeeded else "issuer_declined",
        },
        "paid": succeeded,
        "payment_intent": intent["id"],
        "payment_method": new_id("pm"),
        "payment_method_details": {"card": {"brand": "visa", "last4": "4242"}, "type": "card"},
        "receipt_url": None,
        "refunded": False,
        "status": status,
    }
    return account.save(charge)
