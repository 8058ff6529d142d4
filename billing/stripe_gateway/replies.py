"""What went wrong with a call, as our own exceptions: codes only, for Stripe's text can name a cardholder."""

import json
import re
from dataclasses import dataclass

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RETRY_AFTER = re.compile(r"[0-9]{1,4}")


class StripeUnavailable(Exception):
    """Stripe gave no answer that settles the call; try again later.

    `ambiguous`: a write may have been executed, so look first (list and match metadata). `retry_after` is in seconds.
    """

    def __init__(
        self, code: str, *, ambiguous: bool, http_status: int | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(f"Stripe unavailable: {code}")
        self.code, self.ambiguous, self.http_status, self.retry_after = code, ambiguous, http_status, retry_after


class StripeRefused(Exception):
    """Stripe refused the call for good: `code` is Stripe's own (`card_declined`), or `idempotency_error`."""

    def __init__(self, code: str, http_status: int) -> None:
        super().__init__(f"Stripe refused: {code} (HTTP {http_status})")
        self.code, self.http_status = code, http_status


class StripeResourceMissing(StripeRefused):
    """The object does not exist at Stripe (`resource_missing`): the one refusal that proves absence."""


class StripeReplyUnusable(Exception):
    """Stripe's reply is malformed, of the wrong shape, a redirect or too large; `code` is ours.

    `ambiguous`: the call was a write and may have been executed. `field` is our name of the malformed field, if any.
    """

    def __init__(self, code: str, *, ambiguous: bool, field: str | None = None) -> None:
        super().__init__(f"Stripe's reply is unusable: {code}" + (f" ({field})" if field else ""))
        self.code, self.ambiguous, self.field = code, ambiguous, field


CallFailure = StripeUnavailable | StripeRefused | StripeReplyUnusable


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """The two machine-readable words of an error reply that fit a code's grammar; all else is dropped unread."""

    code: str | None = None
    type: str | None = None

    def as_body(self) -> bytes:
        """Render the error reply that the SDK, its log lines and its exceptions get to see."""
        return json.dumps({"error": {"code": self.code, "type": self.type}}).encode()


def summarize_error(body: bytes) -> ErrorSummary:
    """Read code and type from an error reply of any shape, however malformed."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorSummary()
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if not isinstance(error, dict):
        return ErrorSummary()
    return ErrorSummary(code=_word(error.get("code")), type=_word(error.get("type")))


def is_utf8(body: bytes) -> bool:
    """Whether a reply is text at all."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def seconds_to_wait(header: str | None) -> int | None:
    """Read a Retry-After header in seconds; the date form and nonsense are None."""
    return int(header) if header is not None and _RETRY_AFTER.fullmatch(header) else None


def failure_of(status: int, error: ErrorSummary, *, write: bool, retry_after: int | None) -> CallFailure:
    """Translate an HTTP status outside 2xx. A 429 was not executed; a 409 or 5xx may have been, or may be yet."""
    if status == 429 or error.code in {"rate_limit", "lock_timeout"}:
        return StripeUnavailable("rate_limited", ambiguous=False, http_status=status, retry_after=retry_after)
    if status == 409 or status >= 500:
        code = "server_error" if status >= 500 else error.code or "conflict"
        return StripeUnavailable(code, ambiguous=write, http_status=status, retry_after=retry_after)
    if status in {401, 403}:
        # Our key, not this request: nothing was executed, and no office is to blame.
        return StripeUnavailable("not_authorized", ambiguous=False, http_status=status)
    return _refusal(status, error, write=write)


def _refusal(status: int, error: ErrorSummary, *, write: bool) -> CallFailure:
    if status < 400:
        return StripeReplyUnusable("unexpected_status", ambiguous=write)
    if error.code == "resource_missing":
        return StripeResourceMissing("resource_missing", status)
    if error.type == "idempotency_error":
        return StripeRefused("idempotency_error", status)
    return StripeRefused(error.code or error.type or "unknown", status)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None
