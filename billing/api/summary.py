"""The running total of an office's open cycle, in aggregates only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.invoice_contract import INVOICE, OFFICE, ItemTotalSerializer
from billing.api.patient_rows import open_cycle
from billing.api.rows_as_json import as_json
from billing.api.strict import Total
from billing.api.viewset import OfficeViewSet
from billing.models import LINE_TOTAL, Invoice, InvoiceStatus, InvoiceType, LineItem, Scope
from offices.models import Office, OfficeStatus
from offices.timeline import status_of

# What the API calls an active office with an unpaid overdue invoice; derived, never stored (product.md rule 8).
PAST_DUE = "past_due"
STATUSES = [*OfficeStatus.choices, (PAST_DUE, "Past due")]


class OpenCycleSerializer(serializers.Serializer[Any]):
    """The cycle that is being filled: local dates, the end exclusive, and the price frozen at its start."""

    key = serializers.CharField()
    billing_period_start = serializers.DateField(source="start_date")
    billing_period_end = serializers.DateField(source="end_date")
    unit_price = Total(source="unit_price_cents")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "summary",
            value={
                "office_id": OFFICE,
                "status": "active",
                "currency": "USD",
                "cycle": {
                    "key": "2026-03",
                    "billing_period_start": "2026-03-01",
                    "billing_period_end": "2026-04-01",
                    "unit_price": "2.00",
                },
                "invoice_id": INVOICE,
                "total_amount": "84.00",
                "items": [
                    {"item_type": "active_patient", "quantity": 40, "total_price": "80.00"},
                    {"item_type": "patient_activation", "quantity": 2, "total_price": "4.00"},
                ],
            },
            response_only=True,
        )
    ]
)
class SummarySerializer(serializers.Serializer[Any]):
    """What the office owes so far. `cycle` and `invoice_id` are null before the office's first cycle has opened."""

    office_id = serializers.UUIDField()
    status = serializers.ChoiceField(STATUSES)
    currency = serializers.CharField()
    cycle = OpenCycleSerializer(allow_null=True)
    invoice_id = serializers.UUIDField(allow_null=True)
    total_amount = Total(source="total_cents")
    items = ItemTotalSerializer(many=True)


class SummaryViewSet(OfficeViewSet):
    """The office as a whole."""

    scopes: ClassVar = {"retrieve": Scope.INVOICES_READ}

    @extend_schema(
        operation_id="office_summary",
        tags=["offices"],
        summary="Read the running total of the open cycle",
        responses=SummarySerializer,
    )
    def retrieve(self, request: Request, office_id: UUID) -> Response:  # noqa: ARG002
        """Return counts and totals by item type. Needs `invoices:read`."""
        return Response(as_json(SummarySerializer, summary(office_id, now=timezone.now())))


def summary(office_id: UUID, *, now: datetime) -> dict[str, Any]:
    """Return the row of the summary, with a fixed number of queries; raise NotFound."""
    office = Office.objects.filter(pk=office_id).only("currency", "past_due_since").first()
    if office is None:
        raise NotFound
    cycle = open_cycle(office_id)
    invoice_id = _open_invoice(cycle) if cycle else None
    items = _items(invoice_id) if invoice_id else []
    return {
        "office_id": office_id,
        "status": _status(office, now),
        "currency": office.currency,
        "cycle": cycle,
        "invoice_id": invoice_id,
        "total_cents": sum(item["total_cents"] for item in items),
        "items": items,
    }


def _open_invoice(cycle: Mapping[str, Any]) -> UUID | None:
    """Return the cycle's open invoice; None when it was canceled."""
    drafts = Invoice.objects.filter(
        cycle=cycle["id"],
        invoice_type=InvoiceType.MONTHLY,
        status=InvoiceStatus.DRAFT,
        closed_at__isnull=True,
    )
    return drafts.values_list("pk", flat=True).first()


def _items(invoice_id: UUID) -> list[dict[str, Any]]:
    lines = LineItem.objects.filter(invoice=invoice_id, live=True).order_by("item_type")
    # LINE_TOTAL first: an annotation called `quantity` would otherwise take the column's place in it.
    totals: QuerySet[Any, Any] = lines.values("item_type").annotate(total_cents=Sum(LINE_TOTAL))
    return list(totals.annotate(quantity=Sum("quantity")))


def _status(office: Office, now: datetime) -> str:
    status = status_of(office.pk, at=now)
    return PAST_DUE if status == OfficeStatus.ACTIVE and office.past_due_since else status
