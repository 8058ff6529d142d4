"""The shapes of payment intents and charges, after Stripe's recorded replies."""

from sandbox.stripe_standin.account import Account, new_id
from sandbox.stripe_standin.documents import Json
from sandbox.stripe_standin.events import emit

# None in every payment intent of the stand-in.
_EMPTY_INTENT = (
    *(
        "application",
        "application_fee_amount",
        "automatic_payment_methods",
        "excluded_payment_method_types",
        "canceled_at",
        "cancellation_reason",
    ),
    *(
        "customer_account",
        "last_payment_error",
        "latest_charge",
        "next_action",
        "on_behalf_of",
        "payment_method",
        "payment_method_configuration_details",
    ),
    *("processing", "review", "setup_future_usage", "shipping", "source", "statement_descriptor"),
    *("statement_descriptor_suffix", "transfer_data", "transfer_group"),
)
_EMPTY_CHARGE = (
    *(
        "application",
        "application_fee",
        "application_fee_amount",
        "calculated_statement_descriptor",
        "destination",
        "dispute",
        "failure_balance_transaction",
    ),
    *("on_behalf_of", "order", "receipt_email", "receipt_number", "receipt_url", "review", "shipping", "source"),
    *("source_transfer", "statement_descriptor", "statement_descriptor_suffix", "transfer_data", "transfer_group"),
)
DECLINE: Json = {
    "code": "card_declined",
    "decline_code": "generic_decline",
    "message": "Your card was declined.",
    "type": "card_error",
}

_APPROVED: Json = {"network_status": "approved_by_network", "type": "authorized"}
_REFUSED: Json = {"network_status": "declined_by_network", "type": "issuer_declined"}
# The cardholder's name stands in every real charge, hence here: nothing may store a charge's body.
_CARDHOLDER: Json = {"address": None, "email": None, "name": "Sandbox Cardholder", "phone": None, "tax_id": None}


def new_intent(account: Account, invoice: Json, amount: int) -> Json:
    """Create the payment intent of an invoice."""
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


def new_charge(account: Account, intent: Json, amount: int, status: str) -> Json:
    """Create the charge of an attempt that `succeeded` or `failed`."""
    succeeded = status == "succeeded"
    charge: Json = {
        "id": account.new_id("charge"),
        "object": "charge",
        **dict.fromkeys(_EMPTY_CHARGE),
        "amount": amount,
        "amount_captured": amount if succeeded else 0,
        "amount_refunded": 0,
        "balance_transaction": new_id("txn") if succeeded else None,
        "billing_details": _CARDHOLDER,
        "captured": succeeded,
        "created": account.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        **{name: {} for name in ("fraud_details", "metadata", "radar_options")},
        "failure_code": None if succeeded else DECLINE["code"],
        "failure_message": None if succeeded else DECLINE["message"],
        **dict.fromkeys(("disputed", "livemode", "refunded"), False),
        "outcome": _APPROVED if succeeded else _REFUSED,
        "paid": succeeded,
        "payment_intent": intent["id"],
        "payment_method": new_id("pm"),
        "payment_method_details": {"card": {"brand": "visa", "last4": "4242"}, "type": "card"},
        "status": status,
    }
    return account.save(charge)
