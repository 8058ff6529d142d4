"""Invoices: make the open one or a charge, list, read with lines, ask for the payment status."""

from typing import ClassVar
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from billing.activation import OfficeNotBillable
from billing.api.authentication import require_scope
from billing.api.errors import conflicts
from billing.api.invoice_contract import (
    InvoiceDetailSerializer,
    InvoiceQuery,
    InvoiceSerializer,
    LinesQuery,
    NewInvoiceSerializer,
    OneOffSerializer,
    PaymentStatusSerializer,
    charge_of,
    payment_status,
)
from billing.api.invoice_detail import invoice_detail
from billing.api.invoice_rows import Row, invoice_pages, payment_row
from billing.api.pagination import NewestFirst
from billing.api.payment_history import payment_history
from billing.api.rows_as_json import all_as_json, as_json
from billing.api.viewset import OfficeViewSet
from billing.charges import (
    OfficeClosed,
    OfficeTrialing,
    SetupFeeAlreadyCharged,
    charge_office,
)
from billing.models import InvoiceType, Scope
from billing.monthly_invoice import NoOpenInvoice, ensure_open_invoice
from billing.staff_notes import NoteLooksLikePatientData
from offices.timeline import NoPriceVersion


class DetailViewSet(OfficeViewSet):
    """Answers with one invoice."""

    def _detail(
        self, office_id: UUID, invoice_id: UUID, *, created: bool = False, after: UUID | None = None
    ) -> Response:
        row = invoice_detail(office_id, invoice_id, after=after)
        if row is None:
            raise NotFound
        row["line_items_next"] = self._next_lines(row)
        status_code = status.HTTP_201_CREATED if created else status.HTTP_200_OK
        return Response(as_json(InvoiceDetailSerializer, row), status=status_code)

    def _next_lines(self, row: Row) -> str | None:
        if row["more_after"] is None:
            return None
        path = reverse("api-invoice", args=[row["office_id"], row["id"]])
        return self.request.build_absolute_uri(f"{path}?line_items_after={row['more_after']}")


class InvoiceViewSet(DetailViewSet):
    """The office's invoices."""

    scopes: ClassVar = {
        "create": Scope.INVOICES_WRITE,
        "list": Scope.INVOICES_READ,
        "retrieve": Scope.INVOICES_READ,
        "payment_status": Scope.INVOICES_READ,
    }
    queries: ClassVar = {"list": InvoiceQuery, "retrieve": LinesQuery}
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="invoice_create",
        tags=["invoices"],
        summary="Create an invoice for an office",
        request=NewInvoiceSerializer,
        responses={
            201: InvoiceDetailSerializer,
            200: InvoiceDetailSerializer,
            **conflicts(
                OfficeNotBillable,
                NoOpenInvoice,
                NoPriceVersion,
                OfficeTrialing,
                OfficeClosed,
                SetupFeeAlreadyCharged,
                NoteLooksLikePatientData,
            ),
        },
    )
    def create(self, request: Request) -> Response:  # noqa: ARG002
        """Make sure the open monthly invoice exists (200 when it did), or charge a setup fee or one-off.

        Needs `invoices:write`; a setup fee or one-off also needs `charges:write`.
        """
        body, now = self.read(NewInvoiceSerializer), timezone.now()
        office_id, actor = self.named_office(body), self.credential.actor
        if body["invoice_type"] == InvoiceType.MONTHLY:
            ensured = ensure_open_invoice(office_id=office_id, actor=actor, now=now)
            return self._detail(office_id, ensured.invoice.pk, created=ensured.created)
        require_scope(self.credential, Scope.CHARGES_WRITE)
        invoice = charge_office(office_id=office_id, charge=charge_of(body), actor=actor, now=now)
        return self._detail(office_id, invoice.pk, created=True)

    @extend_schema(
        operation_id="invoice_list",
        tags=["invoices"],
        summary="List an office's invoices, the newest first",
        parameters=[InvoiceQuery],
        responses=InvoiceSerializer(many=True),
    )
    def list(self, request: Request, office_id: UUID) -> Response:  # noqa: ARG002
        """Return a page of invoices without their lines. Needs `invoices:read`."""
        page = self.paginate_queryset(invoice_pages(office_id, self.query))
        return self.get_paginated_response(all_as_json(InvoiceSerializer, page or ()))

    @extend_schema(
        operation_id="invoice_retrieve",
        tags=["invoices"],
        summary="Read one invoice with its line items",
        parameters=[LinesQuery],
        responses=InvoiceDetailSerializer,
    )
    def retrieve(self, request: Request, office_id: UUID, invoice_id: UUID) -> Response:  # noqa: ARG002
        """Return the invoice, its lines and why they are there, totals by type, what happened to its money.

        Up to 1,000 lines; `line_items_next` is where the next ones are. Needs `invoices:read`.
        """
        return self._detail(office_id, invoice_id, after=self.query.get("line_items_after"))

    @extend_schema(
        operation_id="invoice_payment_status",
        tags=["invoices"],
        summary="Ask where the payment of an invoice stands",
        responses=PaymentStatusSerializer,
    )
    def payment_status(self, request: Request, invoice_id: UUID) -> Response:  # noqa: ARG002
        """Return the payment status as last learned from Stripe. Needs `invoices:read`."""
        row = payment_row(self.credential.office_ids, invoice_id)
        if row is None:
            raise NotFound
        row |= payment_history(invoice_id)
        return Response(as_json(PaymentStatusSerializer, payment_status(row, now=timezone.now())))


class ChargeViewSet(DetailViewSet):
    """Charges beside the monthly bill."""

    scopes: ClassVar = {"one_off": Scope.CHARGES_WRITE}

    @extend_schema(
        operation_id="charge_one_off",
        tags=["charges"],
        summary="Charge a setup fee or another one-off",
        request=OneOffSerializer,
        responses={
            201: InvoiceDetailSerializer,
            **conflicts(OfficeTrialing, OfficeClosed, SetupFeeAlreadyCharged, NoteLooksLikePatientData),
        },
    )
    def one_off(self, request: Request) -> Response:  # noqa: ARG002
        """Make an invoice of one line, close it and queue it for collection at once. Needs `charges:write`.

        Send an `Idempotency-Key`: without one a repeated request is a second charge.
        """
        body = self.read(OneOffSerializer)
        office_id = self.named_office(body)
        invoice = charge_office(
            office_id=office_id, charge=charge_of(body), actor=self.credential.actor, now=timezone.now()
        )
        return self._detail(office_id, invoice.pk, created=True)
