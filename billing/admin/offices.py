"""Offices: who pays, under which terms, and what happened to them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html_join
from unfold.decorators import action

from audit.admin import audit_trail
from audit.columns import Column, Shown, coloured, day, text, when
from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.columns import OFFICE_COLOURS, computed, listed
from billing.admin.customers import PROFILE_COLUMNS, REJECTION_COLUMNS
from billing.admin.cycles import CYCLE_COLUMNS
from billing.admin.due import DueFilter
from billing.admin.exports import ExportingPage
from billing.admin.incidents import INCIDENT_COLUMNS
from billing.admin.invoices import INVOICE_COLUMNS
from billing.admin.office_actions import ApproveProfile, RejectProfile, StopOffice
from billing.admin.office_filters import ProfileFilter
from billing.admin.office_tables import api_keys, running_total, terms_history
from billing.admin.office_terms_forms import ChangePlan, ChangeStatus, OverridePrice
from billing.admin.pages import Exactly
from billing.admin.runs import PARKING_COLUMNS, Unpark
from billing.admin.statements import VIEW as STATEMENT
from billing.admin.statements import statement_file, statement_page
from billing.admin.terms import OVERRIDE_COLUMNS
from billing.exports.sheets import OfficeSheet
from billing.models import BillingCycle, Incident, Invoice, OfficeProfile, ParkedOffice
from offices.audit_stream import office_stream
from offices.models import Office, OfficeStatus, OfficeStatusChange, PriceOverride


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


_PERMISSIONS = {
    "statement": STATEMENT,
    "plan": ChangePlan.permission,
    "price": OverridePrice.permission,
    "status": ChangeStatus.permission,
    "profile": ApproveProfile.permission,
    "reject": RejectProfile.permission,
    "park": StopOffice.permission,
    "unpark": Unpark.permission,
}


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
        ProfileFilter,
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

    actions_detail = ["statement", "plan", "price", "status", "profile", "reject", "park", "unpark"]

    @action(description="Statement", icon="request_quote", url_path="statement")
    def statement(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what was owed and paid month by month."""
        return statement_page(request, page=self, object_id=object_id)

    @action(description="Plan", icon="sell", url_path="plan")
    def plan(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for another plan."""
        return ChangePlan.as_view(page=self)(request, object_id=object_id)

    @action(description="Price of its own", icon="percent", url_path="price")
    def price(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for a price, its months and the reason."""
        return OverridePrice.as_view(page=self)(request, object_id=object_id)

    @action(description="Status", icon="flag", url_path="status")
    def status(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask for another status."""
        return ChangeStatus.as_view(page=self)(request, object_id=object_id)

    @action(description="Approve profile", icon="verified_user", url_path="profile")
    def profile(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask under which name and e-mail Stripe may know the office."""
        return ApproveProfile.as_view(page=self)(request, object_id=object_id)

    @action(description="Reject profile", icon="block", url_path="reject")
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask why Stripe may not know the office by what it calls itself."""
        return RejectProfile.as_view(page=self)(request, object_id=object_id)

    @action(description="Stop", icon="pause_circle", url_path="park")
    def park(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask why the office is stopped."""
        return StopOffice.as_view(page=self)(request, object_id=object_id)

    @action(description="Let it go on", icon="play_arrow", url_path="unpark")
    def unpark(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the parking that stands, whose page asks why the office may go on."""
        office = self.get_object(request, object_id)
        standing = office and office.parkings.filter(unparked_at__isnull=True).first()
        if standing is None:
            raise Http404
        return redirect("admin:billing_parkedoffice_unpark", standing.pk)

    def offers_action(self, request: HttpRequest, row: Office, path: str) -> bool:
        """Offer each to who may; to stop while the office goes on, to let it go on while it stands."""
        if path in {"park", "unpark"} and (path == "unpark") is (row.parked_at is None):
            return False
        return request.user.has_perm(_PERMISSIONS[path])

    def get_urls(self) -> list[URLPattern]:
        """Add the statement as a file."""
        view = self.admin_site.admin_view(partial(statement_file, page=self))
        own = path("<uuid:object_id>/statement/file", view, name="offices_office_statementfile")
        return [own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add the status that holds now."""
        return with_status(super().get_queryset(request))

    def related_tables(self, request: HttpRequest, obj: Office) -> Iterable[RelatedTable]:
        """Show the running total, invoices, cycles, terms, parkings, keys and the audit trail."""
        yield from running_total(request, obj)
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
            yield related("Rejected profiles", REJECTION_COLUMNS, obj.profile_rejections.order_by("-pk"))
        yield from _terms(request, obj)
        yield from _troubles(request, obj)
        # Without what names accounts: whoever needs that opens the trail itself, and each look at it is recorded.
        yield from audit_trail(request, office_stream(obj.reference), without=("patient.", "identity."))


def _troubles(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Yield why the office was stopped, and what the guard stopped."""
    if may_view(request, ParkedOffice):
        yield related("Parkings", PARKING_COLUMNS, office.parkings.order_by("-pk"))
    if may_view(request, Incident):
        yield related("Blocked attempts", INCIDENT_COLUMNS, office.incidents.order_by("-at"))


def _terms(request: HttpRequest, office: Office) -> Iterable[RelatedTable]:
    """Yield the dated rows that decide what a cycle costs, latest first."""
    yield from terms_history(request, office)
    if may_view(request, PriceOverride):
        overrides = office.price_overrides.select_related("office").order_by("-starts_on")
        yield related("Prices of its own", OVERRIDE_COLUMNS, overrides)
    yield from api_keys(request, office)
