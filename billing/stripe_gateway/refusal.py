"""Why a request was refused, without anything of the request in it."""

import uuid
from dataclasses import dataclass, field
from enum import StrEnum

from billing.stripe_gateway.operation import Operation


class RefusalReason(StrEnum):
    """Reason codes of the guard; `docs/compliance` lists them (decision 28)."""

    NO_EXPECTATION = "no_expectation"
    WRONG_OPERATION = "wrong_operation"
    UNKNOWN_DESTINATION = "unknown_destination"
    UNKNOWN_OPERATION = "unknown_operation"
    URL_MALFORMED = "url_malformed"
    QUERY_NOT_ALLOWED = "query_not_allowed"
    BODY_NOT_ALLOWED = "body_not_allowed"
    BODY_MALFORMED = "body_malformed"
    NOT_PRINTABLE_ASCII = "not_printable_ascii"
    ENCODING_NOT_CANONICAL = "encoding_not_canonical"
    PARAMETER_DUPLICATE = "parameter_duplicate"
    PARAMETER_UNKNOWN = "parameter_unknown"
    PARAMETER_MISSING = "parameter_missing"
    VALUE_NOT_ALLOWED = "value_not_allowed"
    VALUES_DISAGREE = "values_disagree"
    VALUE_NOT_EXPECTED = "value_not_expected"
    PARAMETER_NOT_COVERED = "parameter_not_covered"
    EXPECTED_PARAMETER_ABSENT = "expected_parameter_absent"
    HEADER_UNKNOWN = "header_unknown"
    HEADER_DUPLICATE = "header_duplicate"
    HEADER_MISSING = "header_missing"
    HEADER_NOT_ALLOWED = "header_not_allowed"
    IDEMPOTENCY_KEY = "idempotency_key"
    CHANNEL_CLOSED = "channel_closed"
    CHANGED_AFTER_INSPECTION = "changed_after_inspection"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A verdict against a request.

    `parameter` is set only when the name is in the policy's vocabulary; never a value, its prefix, length or hash.
    """

    reason: RefusalReason
    operation: Operation | None = None
    path_template: str | None = None
    parameter: str | None = None
    incident: uuid.UUID = field(default_factory=uuid.uuid4)


class OutboundRefused(Exception):
    """A request was not let out. Nothing left; it must never be retried, only looked into.

    Deliberately not one of the SDK's errors: those are retried. Raised by `Guard.inspect` and by every closed channel.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"outbound request refused: {refusal.reason.value}, incident {refusal.incident}")
        self.refusal = refusal

    @property
    def incident(self) -> uuid.UUID:
        """Random id to find this refusal by."""
        return self.refusal.incident

    @property
    def reason(self) -> RefusalReason:
        """Why it was refused."""
        return self.refusal.reason
