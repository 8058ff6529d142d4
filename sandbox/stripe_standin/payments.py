"""Payments of an invoice: the payment intent, its charge, and the invoice payment that ties them to the invoice."""

from sandbox.stripe_standin.account import Account
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.listing import page
from sandbox.stripe_standin.payment_shapes import DECLINE, new_charge, new_intent

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
    charge = new_charge(account, intent, amount, "succeeded")
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
        charge = new_charge(account, intent, intent["amount"], "failed")
        emit(account, "charge.failed", charge)
        failed = {"status": "requires_payment_method", "latest_charge": charge["id"], "last_payment_error": DECLINE}
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
    intent = new_intent(account, invoice, amount)
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
