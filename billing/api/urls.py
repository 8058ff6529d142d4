"""The addresses of the API, as product.md writes them: without a trailing slash, and tolerated with one."""

from typing import NamedTuple

from django.urls import URLPattern, path, re_path

from billing.api.errors import not_found
from billing.api.invoices import ChargeViewSet, InvoiceViewSet
from billing.api.patients import PatientViewSet
from billing.api.summary import SummaryViewSet
from billing.api.viewset import OfficeViewSet


class Route(NamedTuple):
    """One address: which method calls which action of which viewset."""

    path: str
    viewset: type[OfficeViewSet]
    actions: dict[str, str]
    name: str | None = None


ROUTES = [
    Route("billing/invoices", InvoiceViewSet, {"post": "create"}),
    Route("billing/invoices/<uuid:office_id>", InvoiceViewSet, {"get": "list"}),
    Route("billing/invoices/<uuid:office_id>/<uuid:invoice_id>", InvoiceViewSet, {"get": "retrieve"}, "api-invoice"),
    Route("billing/payment-status/<uuid:invoice_id>", InvoiceViewSet, {"get": "payment_status"}),
    Route("billing/charges/one-off", ChargeViewSet, {"post": "one_off"}),
    Route("billing/offices/<uuid:office_id>/summary", SummaryViewSet, {"get": "retrieve"}),
    Route("billing/patients/<uuid:patient_id>/activate", PatientViewSet, {"post": "activate"}),
    Route("billing/patients/<uuid:patient_id>/deactivate", PatientViewSet, {"post": "deactivate"}),
    Route("patients", PatientViewSet, {"post": "create", "get": "list"}),
]


def _patterns(route: Route) -> list[URLPattern]:
    view = route.viewset.as_view({**route.actions})
    return [path(route.path, view, name=route.name), path(f"{route.path}/", view)]


urlpatterns = [
    *(pattern for route in ROUTES for pattern in _patterns(route)),
    re_path(r"", not_found),  # everything else under /api/ is a 404 in JSON, ids of another shape included
]
