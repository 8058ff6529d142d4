"""The shape of invoices, lines and payment status on the wire; names are product.md's and fixed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from billing.api.invoice_rows import amount_due
from billing.api.payment_history import HISTORY_EXAMPLE, HistorySerializer, credited_cents, refunded_cents
from billing.api.strict import Amount, Choice, Id, StrictSerializer, Text, Total
from billing.charges import Charge
from billing.models import ChargeReason, InvoiceStatus, InvoiceType, ItemType

NOTE_LENGTH = 2000
OVERRIDE_LENGTH = 200
_CHARGE_FIELDS = ("reason", "amount", "note", "note_override_reason")

OFFICE = "5f0c3a52-9d0e-4a57-8a53-6f0d4c1a2b3c"  # made up, like every id in an example
INVOICE = "0b9a6c1e-7d42-4c1b-9f0e-2a8d5c3e4f10"
PATIENT = "c7d1e2f3-4a5b-4c6d-8e7f-901a2b3c4d5e"

_DESCRIPTIONS = {
    ItemType.PATIENT_ACTIVATION: "Patient account activated",
    ItemType.ACTIVE_PATIENT: "Active patient account",
    ItemType.SETUP_FEE: "Setup fee",
    ItemType.ONE_OFF: "One-off charge",
    ItemType.BASE_FEE: "Base fee",
    ItemType.MINIMUM: "Monthly minimum",
    ItemType.DISCOUNT: "Discount",
    ItemType.ADJUSTMENT: "Adjustment for an earlier cycle",
}

_REASONS = {
    ItemType.PATIENT_ACTIVATION: "The account became active in this cycle.",
    ItemType.ACTIVE_PATIENT: "The account was active when the cycle began.",
    ItemType.SETUP_FEE: "The office pays a setup fee once.",
    ItemType.ONE_OFF: "A charge of its own, for the reason named in the description.",
    ItemType.BASE_FEE: "The plan has a fee that does not depend on the number of accounts.",
    ItemType.MINIMUM: "The plan has a monthly minimum that the accounts did not reach.",
    ItemType.DISCOUNT: "The plan grants a discount.",
    ItemType.ADJUSTMENT: "The cycle had closed when this became known, so it is charged here, at that cycle's price.",
}
PRICE_SOURCES = [
    ("plan", "The plan's price, in the version of this day"),
    ("office", "A price of the office's own, for this time"),
    ("trial", "Nothing is charged in a trial"),
]

INVOICE_EXAMPLE = {
    "invoice_id": INVOICE,
    "office_id": OFFICE,
    "billing_period_start": "2026-03-01",
    "billing_period_end": "2026-04-01",
    "total_amount": "2.00",
    "currency": "USD",
    "status": "draft",
    "stripe_invoice_id": None,
    "invoice_type": "monthly",
    "created_at": "2026-03-01T06:00:00Z",
    "updated_at": "2026-03-01T06:00:00Z",
}
LINE_EXAMPLE = {
    "line_item_id": "d2a4b6c8-1e3f-4a5b-9c7d-0e1f2a3b4c5d",
    "description": "Patient account activated, 2026-03",
    "quantity": 1,
    "unit_price": "2.00",
    "total_price": "2.00",
    "item_type": "patient_activation",
    "anonymous_patient_ref": PATIENT,
    "cycle": "2026-03",
    "price": {"source": "plan", "effective_on": "2000-01-01", "ends_on": None},
    "reason": _REASONS[ItemType.PATIENT_ACTIVATION],
}
DETAIL_EXAMPLE = {
    **INVOICE_EXAMPLE,
    "line_items": [LINE_EXAMPLE],
    "line_items_next": None,
    "totals": [{"item_type": "patient_activation", "quantity": 1, "total_price": "2.00"}],
    **HISTORY_EXAMPLE,
    "hosted_invoice_url": None,
}


def description(row: Mapping[str, Any]) -> str:
    """Say what a line charges for: its type, then the catalogue's reason or the month charged for."""
    words = _DESCRIPTIONS[ItemType(row["item_type"])]
    if row["item_type"] == ItemType.ONE_OFF and row["charge_reason"]:
        return f"{words}: {ChargeReason(row['charge_reason']).label}"
    return f"{words}, {row['cycle_key']}" if row["cycle_key"] else words


class PriceSerializer(serializers.Serializer[Any]):
    """Where a line's unit price comes from: the terms frozen at the start of the cycle it charges for."""

    source = serializers.ChoiceField(PRICE_SOURCES)  # type: ignore[assignment]  # a field is no attribute of the class
    effective_on = serializers.DateField(allow_null=True, help_text="The first day of this price.")
    ends_on = serializers.DateField(allow_null=True, help_text="The first day it does not hold any more, if it ends.")


class ItemTotalSerializer(serializers.Serializer[Any]):
    """All lines of one type."""

    item_type = serializers.ChoiceField(ItemType.choices)
    quantity = serializers.IntegerField()
    total_price = Total(source="total_cents")


class LineItemSerializer(serializers.Serializer[Any]):
    """One charge, and why it is there."""

    line_item_id = serializers.UUIDField(source="id")
    description = serializers.SerializerMethodField()
    quantity = serializers.IntegerField()
    unit_price = Total(source="unit_price_cents")
    total_price = Total(source="total_cents")
    item_type = serializers.ChoiceField(ItemType.choices)
    anonymous_patient_ref = serializers.UUIDField(source="patient_reference", allow_null=True)
    cycle = serializers.CharField(source="cycle_key", allow_null=True, help_text="The month charged for, YYYY-MM.")
    price = PriceSerializer(allow_null=True)
    reason = serializers.SerializerMethodField()

    def get_reason(self, row: Mapping[str, Any]) -> str:
        """Return why the line is there, for people."""
        return _REASONS[ItemType(row["item_type"])]

    def get_description(self, row: Mapping[str, Any]) -> str:
        """Return the sentence for people."""
        return description(row)


@extend_schema_serializer(examples=[OpenApiExample("invoice", value=INVOICE_EXAMPLE, response_only=True)])
class InvoiceSerializer(serializers.Serializer[Any]):
    """An invoice without its lines. A billing period is local dates, its end exclusive; only monthly ones have one."""

    invoice_id = serializers.UUIDField(source="id")
    office_id = serializers.UUIDField()
    billing_period_start = serializers.DateField(source="start_date", allow_null=True)
    billing_period_end = serializers.DateField(source="end_date", allow_null=True)
    total_amount = Total(source="shown_total_cents")
    currency = serializers.CharField()
    status = serializers.ChoiceField(InvoiceStatus.choices)
    stripe_invoice_id = serializers.CharField(allow_null=True)
    invoice_type = serializers.ChoiceField(InvoiceType.choices)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


@extend_schema_serializer(examples=[OpenApiExample("detail", value=DETAIL_EXAMPLE, response_only=True)])
class InvoiceDetailSerializer(InvoiceSerializer, HistorySerializer):
    """An invoice that explains itself. `hosted_invoice_url` is the page at Stripe where it can be paid, once sent."""

    line_items = LineItemSerializer(many=True)
    line_items_next = serializers.CharField(
        allow_null=True, help_text="Where the same invoice goes on with further lines; null when these are the last."
    )
    totals = ItemTotalSerializer(many=True, help_text="Of all lines of the invoice, whichever are on this page.")
    hosted_invoice_url = serializers.CharField(allow_null=True)


class PaymentStatusSerializer(HistorySerializer):
    """Where the payment of an invoice stands. `past_due` is derived: failed, or sent and past its due date.

    `amount_due` is what is left to be paid: less what credit notes took off before payment.
    """

    invoice_id = serializers.UUIDField(source="id")
    office_id = serializers.UUIDField()
    invoice_type = serializers.ChoiceField(InvoiceType.choices)
    status = serializers.ChoiceField(InvoiceStatus.choices)
    total_amount = Total(source="shown_total_cents")
    amount_paid = Total(source="paid_cents")
    amount_due = Total()
    amount_refunded = Total()
    amount_credited = Total()
    currency = serializers.CharField()
    past_due = serializers.BooleanField()
    sent_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)
    paid_at = serializers.DateTimeField(allow_null=True)
    failed_at = serializers.DateTimeField(allow_null=True)


def payment_status(row: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Add what is derived to a payment row with its history."""
    overdue = row["status"] == InvoiceStatus.SENT and row["due_at"] is not None and row["due_at"] < now
    return {
        **row,
        "amount_due": amount_due(row),
        "amount_refunded": refunded_cents(row),
        "amount_credited": credited_cents(row),
        "past_due": overdue or row["status"] == InvoiceStatus.FAILED,
    }


class LinesQuery(StrictSerializer):
    """Which lines of an invoice."""

    line_items_after = Id(required=False, help_text="The page after this line; `line_items_next` names it.")


class InvoiceQuery(StrictSerializer):
    """The filters of the invoice list."""

    status = Choice(InvoiceStatus.choices, required=False)
    invoice_type = Choice(InvoiceType.choices, required=False)
    cycle = serializers.RegexField(
        r"^[0-9]{4}-(0[1-9]|1[0-2])$", required=False, help_text="The month a monthly invoice's cycle starts in."
    )


class ChargeFields(StrictSerializer):
    """What a charge beside the monthly bill needs; the setup fee alone has an amount of its own, on the plan."""

    reason = Choice(ChargeReason.choices)
    amount = Amount(required=False, allow_null=True, help_text="Needed unless the plan's own setup fee is charged.")
    note = Text(required=False, allow_blank=True, max_length=NOTE_LENGTH, help_text="Internal; stored encrypted.")
    note_override_reason = Text(
        required=False,
        allow_blank=True,
        max_length=OVERRIDE_LENGTH,
        help_text="Why a note stands that looks like patient data. Stored with it; that it was given is audited.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "training", value={"office_id": OFFICE, "reason": "training", "amount": "125.00"}, request_only=True
        )
    ]
)
class OneOffSerializer(ChargeFields):
    """A setup fee or another one-off charge."""

    office_id = Id()


@extend_schema_serializer(
    examples=[OpenApiExample("monthly", value={"office_id": OFFICE, "invoice_type": "monthly"}, request_only=True)]
)
class NewInvoiceSerializer(ChargeFields):
    """An invoice to make: the open monthly one (nothing else is needed), or a charge with its reason."""

    office_id = Id()
    invoice_type = Choice(InvoiceType.choices)
    reason = Choice(ChargeReason.choices, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check that type and charge agree."""
        if attrs["invoice_type"] == InvoiceType.MONTHLY:
            _refuse({name: "A monthly invoice takes no charge." for name in _CHARGE_FIELDS if name in attrs})
            return attrs
        is_setup_fee = attrs["invoice_type"] == InvoiceType.SETUP_FEE
        if not is_setup_fee and "reason" not in attrs:
            _refuse({"reason": "A one-off invoice needs a reason."}, code="required")
        attrs.setdefault("reason", ChargeReason.SETUP_FEE)
        if is_setup_fee != (attrs["reason"] == ChargeReason.SETUP_FEE):
            _refuse({"reason": "The reason does not belong to this type of invoice."})
        return attrs


def charge_of(body: Mapping[str, Any]) -> Charge:
    """Return the charge that a validated body asks for."""
    return Charge(
        ChargeReason(body["reason"]),
        amount_cents=body.get("amount"),
        note=body.get("note", ""),
        override_reason=body.get("note_override_reason", ""),
    )


def _refuse(messages: Mapping[str, str], *, code: str = "invalid") -> None:
    if messages:
        raise ValidationError({name: [ErrorDetail(text, code=code)] for name, text in messages.items()})
