"""The value types a request to Stripe may be made of: enums, bounded numbers, months, ids, the approved profile.

None of them can carry text typed by a person, except `ApprovedProfile`, whose two fields a person approved for one
office and which the guard compares with that approval byte for byte.
"""

import re
import uuid
from dataclasses import dataclass
from enum import Enum

# 1,000,000 active patients is the size of the whole network the product is built for, so no single count exceeds it.
_LARGEST_COUNT = 1_000_000
# Stripe accepts amounts of at most eight digits.
_LARGEST_CENTS = 99_999_999
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
_CYCLE = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")
# `py` and `pyr` are what Stripe calls the charges and refunds of bank debits, `du` newer disputes.
_STRIPE_ID = re.compile(r"(?:cus|in|ii|inpay|pi|ch|py|re|pyr|dp|du|evt|cn|il)_[A-Za-z0-9]{1,64}")
# Printable ASCII without a space at either end; 100 characters print on an invoice, Stripe would take 256.
_NAME = re.compile(r"[!-~](?:[ -~]{0,98}[!-~])?")
_EMAIL = re.compile(r"(?=.{3,254}\Z)[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")


class OutboundValueInvalid(ValueError):
    """A value does not fit its type. Names the type only; the value itself never enters the exception."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"not a valid {kind} for Stripe")
        self.kind = kind


def _require(kind: str, valid: bool) -> None:  # noqa: FBT001 - a verdict, not a switch
    if not valid:
        raise OutboundValueInvalid(kind)


def _is_integer(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return type(value) is str and pattern.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Count:
    """A number of things, 0 to 1,000,000. Raises `OutboundValueInvalid`."""

    value: int

    def __post_init__(self) -> None:
        _require("Count", _is_integer(self.value, 0, _LARGEST_COUNT))

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Cents:
    """Money in the smallest unit, at most eight digits, negative for credits. Raises `OutboundValueInvalid`."""

    value: int

    def __post_init__(self) -> None:
        _require("Cents", _is_integer(self.value, -_LARGEST_CENTS, _LARGEST_CENTS))

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Cycle:
    """A billing month, `YYYY-MM`. Raises `OutboundValueInvalid`."""

    value: str

    def __post_init__(self) -> None:
        _require("Cycle", _is_text(self.value, _CYCLE))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class UnixTime:
    """Seconds since 1970, between the years 2000 and 2100. Raises `OutboundValueInvalid`."""

    value: int

    def __post_init__(self) -> None:
        _require("UnixTime", _is_integer(self.value, _YEAR_2000, _YEAR_2100))

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class OwnId:
    """A random id of one of our offices or invoices, never of a patient. Raises `OutboundValueInvalid`."""

    value: uuid.UUID

    def __post_init__(self) -> None:
        # Random only: versions 1, 3 and 5 are made of times, machines or names (45 CFR 164.514(c)).
        _require("OwnId", isinstance(self.value, uuid.UUID) and self.value.version == 4)

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class StripeId:
    """An id that Stripe made. Raises `OutboundValueInvalid`."""

    value: str

    def __post_init__(self) -> None:
        _require("StripeId", _is_text(self.value, _STRIPE_ID))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class ApprovedProfile:
    """The office's name and e-mail exactly as a person approved them for Stripe; the opaque name is "Office 8F3K2Q".

    `name` is 1 to 100 printable ASCII characters, `email` an ASCII address or None. Raises `OutboundValueInvalid`.
    """

    name: str
    email: str | None = None

    def __post_init__(self) -> None:
        _require("ApprovedProfile.name", _is_text(self.name, _NAME))
        _require("ApprovedProfile.email", self.email is None or _is_text(self.email, _EMAIL))


class Currency(Enum):
    """Currencies an office can be billed in, by Stripe's lower-case code."""

    USD = "usd"


class CollectionMethod(Enum):
    """How Stripe collects: by mailing the invoice or by charging the payment method on file."""

    SEND_INVOICE = "send_invoice"
    CHARGE_AUTOMATICALLY = "charge_automatically"


class Settlement(Enum):
    """How an open invoice is settled: through Stripe, or with money that never passed through it."""

    METHOD_ON_FILE = "method_on_file"
    OUT_OF_BAND = "out_of_band"


class CreditReason(Enum):
    """Stripe's own reasons of a credit note; our catalogue of corrections maps to them."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    ORDER_CHANGE = "order_change"
    PRODUCT_UNSATISFACTORY = "product_unsatisfactory"


class InvoiceKind(Enum):
    """What an invoice is for; the value is our invoice type, the description what the office reads at Stripe."""

    MONTHLY = "monthly"
    SETUP_FEE = "setup_fee"
    ONE_OFF = "one_off"

    @property
    def description(self) -> str:
        """The constant invoice description of this kind (catalogue text)."""
        return _INVOICE_DESCRIPTIONS[self]


class LineText(Enum):
    """What an invoice line is for; the value is our item type, the description what the office reads at Stripe."""

    PATIENT_ACTIVATION = "patient_activation"
    ACTIVE_PATIENT = "active_patient"
    SETUP_FEE = "setup_fee"
    ONE_OFF = "one_off"
    BASE_FEE = "base_fee"
    MINIMUM = "minimum"
    DISCOUNT = "discount"
    ADJUSTMENT = "adjustment"

    @property
    def description(self) -> str:
        """The constant line description of this item type (catalogue text)."""
        return _LINE_DESCRIPTIONS[self]

    @property
    def may_be_credit(self) -> bool:
        """Whether the unit amount may be below zero (decision 13: discounts and adjustments only)."""
        return self in {LineText.DISCOUNT, LineText.ADJUSTMENT}


_INVOICE_DESCRIPTIONS = {
    InvoiceKind.MONTHLY: "Monthly patient account services",
    InvoiceKind.SETUP_FEE: "Account setup",
    InvoiceKind.ONE_OFF: "Additional services",
}
_LINE_DESCRIPTIONS = {
    LineText.PATIENT_ACTIVATION: "Newly activated patient accounts",
    LineText.ACTIVE_PATIENT: "Active patient accounts",
    LineText.SETUP_FEE: "Setup fee",
    LineText.ONE_OFF: "One-off charge",
    LineText.BASE_FEE: "Monthly base fee",
    LineText.MINIMUM: "Monthly minimum",
    LineText.DISCOUNT: "Discount",
    # Never names its month: an adjustment of one line in a small office would tell when a person became a patient.
    LineText.ADJUSTMENT: "Adjustment for earlier months",
}

CATALOGUE: frozenset[str] = frozenset({*_INVOICE_DESCRIPTIONS.values(), *_LINE_DESCRIPTIONS.values()})
"""Every description that may ever be sent; the descriptions found in the egress evidence must be a subset of it."""
