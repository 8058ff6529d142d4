"""Stripe's error replies: one exception that carries the status and the body Stripe would send."""

from typing import Any

from sandbox.stripe_standin.documents import Json


class StripeFailure(Exception):
    """A request Stripe answers with an error; `is_stored` tells whether an idempotency key would keep it."""

    def __init__(self, status: int, error: Json, *, is_stored: bool = True) -> None:
        super().__init__(f"{status} {error.get('code') or error.get('type')}: {error.get('message')}")
        self.status = status
        self.body: Json = {"error": error}
        self.is_stored = is_stored


def invalid_request(message: str, *, param: str | None = None, code: str | None = None) -> StripeFailure:
    """Return a 400 that was found while the endpoint ran, so a key keeps it."""
    return StripeFailure(400, _error("invalid_request_error", message, param=param, code=code))


def invalid_parameter(message: str, *, param: str, code: str) -> StripeFailure:
    """Return a 400 found before the endpoint ran; Stripe stores no result for those."""
    return StripeFailure(400, _error("invalid_request_error", message, param=param, code=code), is_stored=False)


def resource_missing(noun: str, object_id: str, *, param: str, status: int) -> StripeFailure:
    """Return "No such ..."; 404 for the object in the path, 400 for one named in a parameter."""
    message = f"No such {noun}: '{object_id}'"
    return StripeFailure(status, _error("invalid_request_error", message, param=param, code="resource_missing"))


def unrecognized_url(method: str, path: str) -> StripeFailure:
    """Return the 404 for a path the stand-in does not serve."""
    message = f"Unrecognized request URL ({method}: {path})."
    return StripeFailure(404, _error("invalid_request_error", message), is_stored=False)


def unauthorized(message: str) -> StripeFailure:
    """Return the 401 for a missing or unknown API key."""
    return StripeFailure(401, _error("invalid_request_error", message), is_stored=False)


def card_declined(intent: Json) -> StripeFailure:
    """Return the 402 of a declined card, with the payment intent inside as Stripe sends it."""
    error = _error("card_error", "Your card was declined.", code="card_declined")
    return StripeFailure(402, {**error, "decline_code": "generic_decline", "payment_intent": intent})


def key_reused(key: str) -> StripeFailure:
    """Return the 400 for a key that was first used with other parameters or another path."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return StripeFailure(400, _error("idempotency_error", message), is_stored=False)


def key_in_use(key: str) -> StripeFailure:
    """Return the 409 for a key whose first request has not been answered yet."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later."
    )
    return StripeFailure(409, _error("idempotency_error", message, code="idempotency_key_in_use"), is_stored=False)


def rate_limited() -> StripeFailure:
    """Return the 429 that Stripe sends above 100 (live) or 25 (sandbox) requests a second."""
    message = "Request rate limit exceeded. Learn more about rate limits at https://docs.stripe.com/rate-limits."
    return StripeFailure(429, _error("invalid_request_error", message, code="rate_limit"), is_stored=False)


def lock_timeout() -> StripeFailure:
    """Return the 409 Stripe sends when another request holds the object; nothing ran, nothing is stored."""
    message = "This object cannot be accessed right now because another API request is currently accessing it."
    return StripeFailure(409, _error("invalid_request_error", message, code="lock_timeout"), is_stored=False)


def server_error() -> StripeFailure:
    """Return a 500 raised inside the endpoint: the key keeps it and replays it."""
    return StripeFailure(500, _error("api_error", "Sorry, there was a problem. We have been notified."))


def unavailable() -> StripeFailure:
    """Return a 503 sent before any endpoint ran: nothing is stored."""
    return StripeFailure(503, _error("api_error", "Stripe is temporarily unavailable."), is_stored=False)


def _error(kind: str, message: str, *, param: str | None = None, code: str | None = None) -> Json:
    fields: dict[str, Any] = {"code": code, "message": message, "param": param, "type": kind}
    return {name: value for name, value in fields.items() if value is not None}
