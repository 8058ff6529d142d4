"""Offices: who pays, under which terms, and what happened to them."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from unfold.decorators import action

from audit.admin import audit_trail
from audit.columns import Column, Shown, coloured, day, text, when
from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.columns import OFFICE_COLOURS, computed, listed
from billing.admin.customers import PROFILE_COLUMNS
from billing.admin.cycles import CYCLE_COLUMNS
from billing.admin.due import DueFilter
from billing.admin.exports import ExportingPage
from billing.admin.incidents import INCIDENT_COLUMNS
from billing.admin.invoices import INVOICE_COLUMNS
from billing.admin.pages import Exactly
from billing.admin.runs import PARKING_COLUMNS, Unpark
from billing.admin.terms import OVERRIDE_COLUMNS, PLAN_COLUMNS, STATUS_COLUMNS, ZONE_COLUMNS
from billing.exports.sheets import OfficeSheet
from billing.models import BillingCycle, Incident, Invoice, OfficeProfile, ParkedOffice
from offices.audit_stream import office_stream
from offices.models import Office, OfficePlan, OfficeStatus, OfficeStatusChange, OfficeZone, PriceOverride


def _status(row: Any) -> Shown:
    """Show what holds now; an unpaid invoice shows as `past due`, as in the API (product.md rule 8)."""
    labels = []
    if row.status == OfficeStatus.ACTIVE and row.past_due_since:
        labels.append(coloured("past due", "danger"))
    elif row.status:
        labels.append(coloured(OfficeStatus(row.status).label, OFFICE_COLOURS.get(row.status, "")))
    if row.parked_at:
        labels.append(coloured("parked", "warning"))
    return format_html_join(" ", "{}", ((each,) for each in labels))


_COLUMNS: list[Column] = [
    text("reference", title="office", order="reference"),
    text("name"),
    computed("status", _status),
    day("billing_cycle_anchor_date", title="anchor"),
    text("collection_method", title="collected by"),
]


def with_status(offices: QuerySet[Any]) -> QuerySet[Any]:
    """Read offices with the status that holds now."""
    changes = OfficeStatusChange.objects.filter(office=OuterRef("pk"), effective_at__lte=Now())
    status = Subquery(changes.order_by("-effective_at").values("status")[:1])
    annotated: QuerySet[Any] = offices.annotate(status=status)
    return annotated


@admin.register(Office)
class OfficePage(ExportingPage):
    """The customers."""

    sheet = OfficeSheet
    list_display = [*_COLUMNS, text("currency"), day("past_due_since", title="past due since")]
    list_filter = [
        "collection_method",
        ("parked_at", EmptyFieldListFilter),
        ("past_due_since", EmptyFieldListFilter),
        DueFilter,
    ]
    ordering = ["reference"]
    finds = Exactly(office="pk")
    search_help_text = "Office, its id or cus_… (exact)"
    details = [
        *_COLUMNS,
        text("id", title="office id"),
        text("billing_email"),
        text("opaque_name", title="name at Stripe by default"),
        text("days_until_due"),
        text("currency"),
        when("created_at"),
        when("first_cycle_opened_at", title="first cycle opened"),
        when("past_due_since", title="past due since"),
        when("parked_at"),
        listed("patient accounts", "patients_patient", "See the accounts", office__id__exact="pk"),
    ]

    actions_detail = ["unpark"]

    @action(description="Let it go on", icon="play_arrow", url_path="unpark")
    def unpark(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the parking that stands, whose page asks why the office may go on."""
        office = self.get_object(request, object_id)
        standing = office and office.parkings.filter(unparked_at__isnull=True).first()
        if standing is None:
            raise Http404
        return redirect("admin:billing_parkedoffice_unpark", standing.pk)

    def offers(self, request: HttpRequest, row: Office) -> bool:
        """Offer it while the office stands, to who may."""
        return row.parked_at is not None and request.user.has_perm(Unpark.permission)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add the status that holds now."""
        return with_status(super().get_queryset(request))

    def related_tables(self, request: HttpRequest, obj: Office) -> Iterable[RelatedTable]:
        """Show invoices, cycles, terms, parkings and the audit trail."""
        if may_view(request, Invoice):
            invoices = obj.invoices.select_related("cycle").defer("internal_note").order_by("-created_at", "-pk")
            address = list_of("billing_invoice", office__id__exact=obj.pk)
            yield related("Invoices", INVOICE_COLUMNS, invoices, more=address)
        if may_view(request, BillingCycle):
            cycles = obj.cycles.select_related("office").order_by("-index")
            address = list_of("billing_billingcycle", office__id__exact=obj.pk)
            yield related("Cycles", CYCLE_COLUMNS, cycles, more=address)
        if may_view(request, OfficeProfile):
            yield related("Approved profiles", PROFILE_COLUMNS, obj.profiles.order_by("-pk"))
        yield from _terms(request, obj)
        yield from _troubles(request, obj)
        yield from audit_trail(request, office_stream(obj.reference))


def _troubles(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Yield why the office was stopped, and what the guard stopped."""
    if may_view(request, ParkedOffice):
        yield related("Parkings", PARKING_COLUMNS, office.parkings.order_by("-pk"))
    if may_view(request, Incident):
        yield related("Blocked attempts", INCIDENT_COLUMNS, office.incidents.order_by("-at"))


def _terms(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Yield the dated rows that decide what a cycle costs, latest first."""
    if may_view(request, OfficeStatusChange):
        yield related("Statuses", STATUS_COLUMNS, office.status_changes.order_by("-effective_at"))
    if may_view(request, OfficeZone):
        yield related("Zones", ZONE_COLUMNS, office.zones.order_by("-effective_at"))
    if may_view(request, OfficePlan):
        yield related("Plans", PLAN_COLUMNS, office.plans.select_related("plan").order_by("-effective_at"))
    if may_view(request, PriceOverride):
        overrides = office.price_overrides.select_related("office").order_by("-starts_on")
        yield related("Prices of its own", OVERRIDE_COLUMNS, overrides)
