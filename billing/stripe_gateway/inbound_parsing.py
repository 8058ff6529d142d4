"""Parse decoded Stripe replies into the inbound types; anything missing or of the wrong type is `InboundMalformed`."""

import re
import uuid
from collections.abc import Callable
from typing import TypedDict, TypeVar

from billing.stripe_gateway import strict_fields as read
from billing.stripe_gateway.foreign_words import codes_of
from billing.stripe_gateway.inbound import (
    InboundCustomer,
    InboundInvoice,
    InboundInvoiceItem,
    InboundLine,
    InboundPage,
    InboundPayment,
    InboundUnreadable,
    InvoiceState,
    PaymentState,
    PaymentType,
    profile_digest,
)
from billing.stripe_gateway.outbound_values import (
    CATALOGUE,
    CollectionMethod,
    Currency,
    Cycle,
    InvoiceKind,
    LineText,
    OutboundValueInvalid,
)

Item = TypeVar("Item")

_URL = re.compile(r"https?://[!-~]{1,2000}")
_NUMBER = re.compile(r"[A-Za-z0-9-]{1,26}")  # 26 is Stripe's limit for an invoice number
_ANY_KIND = ("",)
_OWN_METADATA = frozenset({"invoice_id", "cycle", "kind"})


def parse_customer(data: object) -> InboundCustomer:
    """Parse a customer, also a deleted one. Raises `InboundMalformed`."""
    fields = read.mapping(data, "customer")
    read.kind_of_object(fields, "customer")
    deleted = fields.get("deleted") is True
    email = read.optional_text(fields, "email")
    return InboundCustomer(
        id=read.stripe_id(fields, "id", ("cus_",)),
        own_office_id=read.own_uuid(read.optional_mapping(fields, "metadata"), "office_id"),
        deleted=deleted,
        balance_cents=0 if deleted else read.integer(fields, "balance"),
        created=None if deleted else read.integer(fields, "created"),
        has_email=bool(email),
        _profile=profile_digest(read.optional_text(fields, "name"), email),
    )


def parse_line(data: object) -> InboundLine:
    """Parse a line of an invoice. Raises `InboundMalformed`."""
    fields = read.mapping(data, "line")
    return InboundLine(
        id=read.stripe_id(fields, "id", ("il_",)),
        text=_line_text(fields),
        quantity=_quantity(fields),
        unit_amount_cents=_unit_amount(fields),
        amount_cents=read.integer(fields, "amount"),
        currency=read.choice(fields, "currency", Currency),
    )


def parse_invoice_item(data: object) -> InboundInvoiceItem:
    """Parse an invoice item. Raises `InboundMalformed`."""
    fields = read.mapping(data, "invoiceitem")
    read.kind_of_object(fields, "invoiceitem")
    return InboundInvoiceItem(
        id=read.stripe_id(fields, "id", ("ii_",)),
        customer_id=read.stripe_id(fields, "customer", ("cus_",)),
        invoice_id=read.optional_stripe_id(fields, "invoice", ("in_",)),
        text=_line_text(fields),
        quantity=_quantity(fields),
        unit_amount_cents=_unit_amount(fields),
        amount_cents=read.integer(fields, "amount"),
        currency=read.choice(fields, "currency", Currency),
    )


def parse_payment(data: object) -> InboundPayment:
    """Parse a payment of an invoice. Raises `InboundMalformed`."""
    fields = read.mapping(data, "invoice_payment")
    payment = read.mapping(fields.get("payment"), "payment")
    kind = next((known for known in PaymentType if known.value == payment.get("type")), PaymentType.OTHER)
    return InboundPayment(
        id=read.stripe_id(fields, "id", ("inpay_",)),
        invoice_id=read.stripe_id(fields, "invoice", ("in_",)),
        type=kind,
        status=read.choice(fields, "status", PaymentState),
        amount_paid_cents=read.optional_integer(fields, "amount_paid"),
        amount_requested_cents=read.integer(fields, "amount_requested"),
        currency=read.choice(fields, "currency", Currency),
        paid_at=read.optional_integer(read.optional_mapping(fields, "status_transitions"), "paid_at"),
        payment_intent_id=read.optional_stripe_id(payment, "payment_intent", ("pi_",)),
        charge_id=read.optional_stripe_id(payment, "charge", ("ch_", "py_")),
    )


class _Amounts(TypedDict):
    total_cents: int
    amount_due_cents: int
    amount_paid_cents: int
    amount_remaining_cents: int
    starting_balance_cents: int
    ending_balance_cents: int | None
    overpaid_cents: int
    credited_before_payment_cents: int
    credited_after_payment_cents: int


class _Times(TypedDict):
    created: int
    due_date: int | None
    finalized_at: int | None
    paid_at: int | None
    voided_at: int | None
    marked_uncollectible_at: int | None


class _Ours(TypedDict):
    own_invoice_id: uuid.UUID | None
    own_cycle: Cycle | None
    own_kind: InvoiceKind | None


def parse_invoice(data: object) -> InboundInvoice:
    """Parse an invoice with the first page of its lines. Raises `InboundMalformed`."""
    fields = read.mapping(data, "invoice")
    read.kind_of_object(fields, "invoice")
    lines = parse_page(fields.get("lines"), parse_line)
    payments = parse_page(fields["payments"], parse_payment) if fields.get("payments") is not None else None
    customer, foreign = read.stripe_id(fields, "customer", ("cus_",)), _foreign_fields(fields, lines.items)
    return InboundInvoice(
        id=read.stripe_id(fields, "id", ("in_",)),
        customer_id=customer,
        status=read.choice(fields, "status", InvoiceState),
        currency=read.choice(fields, "currency", Currency),
        collection_method=read.choice(fields, "collection_method", CollectionMethod),
        attempted=read.flag(fields, "attempted"),
        attempt_count=read.integer(fields, "attempt_count"),
        auto_advance=read.flag(fields, "auto_advance"),
        finalization_failed=fields.get("last_finalization_error") is not None,
        hosted_invoice_url=read.matching_text(fields, "hosted_invoice_url", _URL),
        number=_number(fields),
        description_matches=_is_ours(fields.get("description")),
        foreign_fields=foreign,
        foreign_codes=codes_of(fields, customer, foreign),
        lines=lines.items,
        lines_have_more=lines.has_more,
        payments=() if payments is None else payments.items,
        payments_expanded=payments is not None,
        payments_have_more=payments is not None and payments.has_more,
        **_amounts(fields),
        **_times(fields),
        **_ours(read.optional_mapping(fields, "metadata")),
    )


def _number(fields: read.Fields) -> str | None:
    # Numbers can be typed at Stripe, so one that does not look like a number is reported and not kept.
    value = read.optional_text(fields, "number")
    return value if value is not None and _NUMBER.fullmatch(value) else None


def _amounts(fields: read.Fields) -> _Amounts:
    return _Amounts(
        total_cents=read.integer(fields, "total"),
        amount_due_cents=read.integer(fields, "amount_due"),
        amount_paid_cents=read.integer(fields, "amount_paid"),
        amount_remaining_cents=read.integer(fields, "amount_remaining"),
        starting_balance_cents=read.integer(fields, "starting_balance"),
        ending_balance_cents=read.optional_integer(fields, "ending_balance"),
        overpaid_cents=read.optional_integer(fields, "amount_overpaid") or 0,
        credited_before_payment_cents=read.optional_integer(fields, "pre_payment_credit_notes_amount") or 0,
        credited_after_payment_cents=read.optional_integer(fields, "post_payment_credit_notes_amount") or 0,
    )


def _times(fields: read.Fields) -> _Times:
    moments = read.mapping(fields.get("status_transitions"), "status_transitions")
    return _Times(
        created=read.integer(fields, "created"),
        due_date=read.optional_integer(fields, "due_date"),
        finalized_at=read.optional_integer(moments, "finalized_at"),
        paid_at=read.optional_integer(moments, "paid_at"),
        voided_at=read.optional_integer(moments, "voided_at"),
        marked_uncollectible_at=read.optional_integer(moments, "marked_uncollectible_at"),
    )


def _ours(metadata: read.Fields) -> _Ours:
    return _Ours(
        own_invoice_id=read.own_uuid(metadata, "invoice_id"),
        own_cycle=_cycle(metadata),
        own_kind=next((kind for kind in InvoiceKind if kind.value == metadata.get("kind")), None),
    )


def parse_page(data: object, parse_item: Callable[[object], Item]) -> InboundPage[Item]:
    """Parse one page of a list. Raises `InboundMalformed`."""
    fields = read.mapping(data, "list")
    read.kind_of_object(fields, "list")
    items = tuple(parse_item(row) for row in read.rows(fields, "data"))
    return InboundPage(items, has_more=read.flag(fields, "has_more"))


def parse_list(data: object, parse_item: Callable[[object], Item]) -> InboundPage[Item]:
    """Parse one page of what Stripe lists, odd objects set apart. Raises `InboundMalformed` when it is no list."""
    fields = read.mapping(data, "list")
    read.kind_of_object(fields, "list")
    rows = read.rows(fields, "data")
    items: list[Item] = []
    odd: list[InboundUnreadable] = []
    for row in rows:
        try:
            items.append(parse_item(row))
        except read.InboundMalformed as malformed:
            odd.append(_unreadable(row, malformed.field))
    last = read.stripe_id(read.mapping(rows[-1], "list"), "id", _ANY_KIND) if rows else None
    return InboundPage(tuple(items), read.flag(fields, "has_more"), tuple(odd), last)


def _unreadable(row: object, field: str) -> InboundUnreadable:
    fields = read.mapping(row, "list")
    metadata = fields.get("metadata")
    own = read.own_uuid(metadata, "invoice_id") if isinstance(metadata, dict) else None
    return InboundUnreadable(read.stripe_id(fields, "id", _ANY_KIND), field, own)


def _is_ours(description: object) -> bool:
    return type(description) is str and description in CATALOGUE


def _line_text(fields: read.Fields) -> LineText | None:
    return next((text for text in LineText if text.description == fields.get("description")), None)


def _quantity(fields: read.Fields) -> int | None:
    # `quantity` is truncated where `quantity_decimal` is not whole, so the exact one goes first.
    exact = fields.get("quantity_decimal")
    return read.whole_number(fields.get("quantity") if exact is None else exact)


def _unit_amount(fields: read.Fields) -> int | None:
    return read.whole_number(read.optional_mapping(fields, "pricing").get("unit_amount_decimal"))


def _cycle(metadata: read.Fields) -> Cycle | None:
    value = metadata.get("cycle")
    try:
        return Cycle(value) if type(value) is str else None
    except OutboundValueInvalid:
        return None


def _is_foreign(metadata: read.Fields) -> bool:
    """Whether metadata holds a name that is not ours, or under one of our names a value that is not ours."""
    ours = _ours(metadata)
    readable = sum(value is not None for value in ours.values())
    return not _OWN_METADATA.issuperset(metadata) or readable < len(metadata)


def _has_metadata(line: object) -> bool:
    # We send none on lines.
    return isinstance(line, dict) and bool(line.get("metadata"))


def _foreign_fields(fields: read.Fields, lines: tuple[InboundLine, ...]) -> tuple[str, ...]:
    raw_lines = read.mapping(fields.get("lines"), "lines")
    found = {
        "description": not _is_ours(fields.get("description")),
        "number": fields.get("number") is not None and _number(fields) is None,
        "footer": bool(fields.get("footer")),
        "custom_fields": bool(fields.get("custom_fields")),
        "statement_descriptor": bool(fields.get("statement_descriptor")),
        "metadata": _is_foreign(read.optional_mapping(fields, "metadata")),
        "lines": any(line.text is None for line in lines) or any(map(_has_metadata, read.rows(raw_lines, "data"))),
    }
    return tuple(name for name, foreign in found.items() if foreign)
