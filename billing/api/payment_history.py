"""What happened to an invoice's money, as last learned from Stripe: payments, and what went back or is contested.

States, amounts and times; of a correction neither who asked or decided nor what they wrote, and none that was only
asked for. Five statements, whatever happened.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Model, UUIDField
from rest_framework import serializers

from audit.compiled import Parameter, Statement
from billing.api.strict import Total
from billing.models import (
    REFUNDS_OUT,
    Correction,
    CorrectionKind,
    CorrectionStatus,
    CreditNote,
    CreditNoteStatus,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)

Row = dict[str, Any]
# A correction that was asked for and not yet decided, or refused, is the vendor's own affair.
SHOWN_CORRECTIONS = (CorrectionStatus.APPROVED, CorrectionStatus.DONE, CorrectionStatus.OVERTAKEN)
HISTORY_EXAMPLE: dict[str, Any] = {
    "payments": [],
    "refunds": [],
    "credit_notes": [],
    "disputes": [],
    "corrections": [],
}


class PaymentSerializer(serializers.Serializer[Any]):
    """One payment or try of one."""

    status = serializers.ChoiceField(PaymentStatus.choices)
    amount_requested = Total(source="amount_requested_cents")
    amount_paid = Total(source="amount_paid_cents")
    currency = serializers.CharField()
    paid_at = serializers.DateTimeField(allow_null=True)
    recorded_at = serializers.DateTimeField()


class RefundSerializer(serializers.Serializer[Any]):
    """Money that goes back to the payer. A failed or canceled one did not."""

    status = serializers.ChoiceField(RefundStatus.choices)
    amount = Total(source="amount_cents")
    currency = serializers.CharField()
    refunded_at = serializers.DateTimeField()


class CreditNoteSerializer(serializers.Serializer[Any]):
    """A document that lowers what the invoice claims, before or after it is paid."""

    status = serializers.ChoiceField(CreditNoteStatus.choices)
    amount = Total(source="amount_cents")
    currency = serializers.CharField()
    issued_at = serializers.DateTimeField()


class DisputeSerializer(serializers.Serializer[Any]):
    """A payment that the payer contests at the bank. A `warning_*` is an inquiry that took no money."""

    status = serializers.ChoiceField(DisputeStatus.choices)
    amount = Total(source="amount_cents")
    currency = serializers.CharField()
    opened_at = serializers.DateTimeField()


class CorrectionSerializer(serializers.Serializer[Any]):
    """What we did about the invoice after it was sent; `overtaken` when Stripe had decided otherwise meanwhile."""

    kind = serializers.ChoiceField(CorrectionKind.choices)
    status = serializers.ChoiceField([(each.value, each.label) for each in SHOWN_CORRECTIONS])
    amount = Total(source="amount_cents", allow_null=True, help_text="Null where the whole invoice is meant.")
    requested_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class HistorySerializer(serializers.Serializer[Any]):
    """What happened to an invoice's money, the oldest first."""

    payments = PaymentSerializer(many=True)
    refunds = RefundSerializer(many=True)
    credit_notes = CreditNoteSerializer(many=True)
    disputes = DisputeSerializer(many=True)
    corrections = CorrectionSerializer(many=True)


def payment_history(invoice_id: UUID) -> dict[str, list[Row]]:
    """Return the lists of HistorySerializer; the caller has made sure that the invoice is one of its offices'."""
    return {name: statement.rows(invoice=invoice_id) for name, statement in _LISTS.items()}


def refunded_cents(history: Mapping[str, list[Row]]) -> int:
    """Return what went back or is on its way."""
    return sum(row["amount_cents"] for row in history["refunds"] if row["status"] in REFUNDS_OUT)


def credited_cents(history: Mapping[str, list[Row]]) -> int:
    """Return by how much credit notes lowered what the invoice claims."""
    return sum(row["amount_cents"] for row in history["credit_notes"] if row["status"] == CreditNoteStatus.ISSUED)


def _of_invoice(model: type[Model], at: str, *columns: str, **conditions: Any) -> Statement:
    def build() -> Any:
        rows = model._default_manager.filter(invoice=Parameter("invoice", UUIDField()), **conditions)
        return rows.order_by(at, "pk").values(*columns, at)

    return Statement(build)


_MONEY = ("status", "amount_cents", "currency")
_LISTS = {
    "payments": _of_invoice(
        Payment, "recorded_at", "status", "amount_requested_cents", "amount_paid_cents", "currency", "paid_at"
    ),
    "refunds": _of_invoice(Refund, "refunded_at", *_MONEY),
    "credit_notes": _of_invoice(CreditNote, "issued_at", *_MONEY),
    "disputes": _of_invoice(Dispute, "opened_at", *_MONEY),
    "corrections": _of_invoice(
        Correction, "requested_at", "kind", "status", "amount_cents", "ended_at", status__in=SHOWN_CORRECTIONS
    ),
}
