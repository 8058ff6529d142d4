"""Refunds and disputes: money that goes back after a charge."""

from typing import Any

from sandbox.stripe_standin.account import Account, new_id
from sandbox.stripe_standin.customers import merged_metadata
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.errors import invalid_parameter, invalid_request
from sandbox.stripe_standin.events import change, emit
from sandbox.stripe_standin.listing import page

_EVIDENCE_SECONDS = 7 * 24 * 3600


def create_refund(account: Account, params: Json, _object_id: str) -> Json:
    """POST /v1/refunds."""
    charge = _refundable_charge(account, params)
    left: int = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if not left:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid_request(message, code="charge_already_refunded")
    if not 0 < amount <= left:
        message = f"Refund amount ({amount}) must be positive and not greater than the unrefunded amount ({left})."
        raise invalid_request(message, param="amount")
    return record_refund(account, charge, amount, params)


def record_refund(account: Account, charge: Json, amount: int, params: Json) -> Json:
    """Refund a part of a charge and tell of it."""
    refund: Json = {
        "id": account.new_id("refund"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn"),
        "charge": charge["id"],
        "created": account.now(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": merged_metadata({}, params),
        "payment_intent": charge["payment_intent"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    account.save(refund)
    emit(account, "refund.created", refund)
    refunded = charge["amount_refunded"] + amount
    changes = {"amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]}
    change(account, charge, changes, "charge.refunded")
    return refund


def fail_refund(account: Account, refund_id: str) -> Json:
    """Let the bank refuse a refund: the money returns to the account."""
    refund = account.find("refund", refund_id)
    charge = account.find("charge", refund["charge"])
    changes = {
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
        "failure_balance_transaction": new_id("txn"),
    }
    change(account, refund, changes)
    emit(account, "refund.failed", refund)
    left = charge["amount_refunded"] - refund["amount"]
    change(account, charge, {"amount_refunded": left, "refunded": False})
    return refund


def retrieve_refund(account: Account, _params: Json, refund_id: str) -> Json:
    """GET /v1/refunds/{id}."""
    return account.find("refund", refund_id)


def list_refunds(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/refunds."""
    return page(account, "refund", params, "/v1/refunds")


def open_dispute(account: Account, charge_id: str, reason: str = "fraudulent") -> Json:
    """Let the cardholder dispute a charge at the bank."""
    charge = account.find("charge", charge_id)
    if charge["disputed"]:
        raise invalid_request(f"Charge {charge_id} is disputed already.", param="charge")
    dispute: Json = {
        "id": account.new_id("dispute"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge_id,
        "created": account.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {"due_by": account.now() + _EVIDENCE_SECONDS, "has_evidence": False, "submission_count": 0},
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "needs_response",
    }
    account.save(dispute)
    account.save({**charge, "disputed": True, "dispute": dispute["id"]})
    emit(account, "charge.dispute.created", dispute)
    emit(account, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(account: Account, dispute_id: str, *, won: bool) -> Json:
    """Let the bank decide a dispute."""
    dispute = account.find("dispute", dispute_id)
    if dispute["status"] in ("won", "lost"):
        raise invalid_request("The bank has decided this dispute.", param="dispute")
    dispute["status"] = "won" if won else "lost"
    account.save(dispute)
    emit(account, "charge.dispute.closed", dispute)
    if won:
        emit(account, "charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve_dispute(account: Account, _params: Json, dispute_id: str) -> Json:
    """GET /v1/disputes/{id}."""
    return account.find("dispute", dispute_id)


def list_disputes(account: Account, params: Json, _object_id: str) -> Json:
    """GET /v1/disputes."""
    return page(account, "dispute", params, "/v1/disputes")


def _refundable_charge(account: Account, params: dict[str, Any]) -> Json:
    if "charge" in params:
        charge = account.named("charge", params["charge"], "charge")
    elif "payment_intent" in params:
        intent = account.named("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise invalid_request("This PaymentIntent does not have a successful charge to refund.")
        charge = account.find("charge", intent["latest_charge"])
    else:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise invalid_parameter(message, param="payment_intent", code="parameter_missing")
    if charge["status"] != "succeeded":
        raise invalid_request(f"Charge {charge['id']} has not been captured.", param="charge")
    return charge
