"""Patient accounts: references and activity, and what was charged for them. Never who they are."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from unfold.decorators import action

from audit.columns import link, text, when, yes
from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.activity_forms import Activate, Deactivate
from billing.admin.columns import office
from billing.admin.lines import CHARGE_COLUMNS, with_currency
from billing.admin.pages import BillingPage, Exactly
from billing.models import LineItem
from patients.models import ActivityPeriod, Patient

_PERIOD_COLUMNS = [when("activated_at", title="active from"), when("deactivated_at", title="until")]


@admin.register(Patient)
class PatientPage(BillingPage):
    """Accounts."""

    list_display = [text("reference", title="patient account"), office(), yes("is_active", title="active now")]
    list_select_related = ["office"]
    ordering = ["pk"]
    finds = Exactly(office="office_id")
    search_help_text = "Patient account or office (exact)"
    details = [*list_display, when("created_at")]
    actions_detail = ["activate", "deactivate", "reveal"]

    @action(description="Activate", icon="person_add", url_path="activate")
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show what it costs, then activate."""
        return Activate.as_view(page=self)(request, object_id=object_id)

    @action(description="Deactivate", icon="person_remove", url_path="deactivate")
    def deactivate(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Show what stays charged, then deactivate."""
        return Deactivate.as_view(page=self)(request, object_id=object_id)

    @action(description="Reveal who this is", icon="visibility", url_path="reveal")
    def reveal(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the page that asks why; it refuses, and records, whoever lacks the permission."""
        patient = self.get_object(request, object_id)
        if patient is None:
            raise Http404
        return redirect("admin:patients_revealgrant_ask", patient.pk)

    def offers_action(self, request: HttpRequest, row: Any, path: str) -> bool:
        """Offer what fits the account, to who may; the reveal to everybody: a refusal there is on record."""
        if path == "activate":
            return not row.is_active and request.user.has_perm(Activate.permission)
        if path == "deactivate":
            return row.is_active and request.user.has_perm(Deactivate.permission)
        return True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add whether the account is active."""
        open_period = ActivityPeriod.objects.filter(patient=OuterRef("pk"), deactivated_at__isnull=True)
        accounts: QuerySet[Any] = super().get_queryset(request).annotate(is_active=Exists(open_period))
        return accounts

    def related_tables(self, request: HttpRequest, obj: Patient) -> Iterable[RelatedTable]:
        """Show when the account was active and what was charged for it."""
        if may_view(request, ActivityPeriod):
            yield related("Activity", _PERIOD_COLUMNS, obj.periods.order_by("-activated_at"))
        if may_view(request, LineItem):
            # `live` and the reference are the index; what was withdrawn is on the canceled invoice.
            lines = LineItem.objects.filter(patient_reference=obj.pk, live=True).order_by("-cycle_key")
            columns = [link("invoice_id", "billing_invoice"), *CHARGE_COLUMNS]
            address = list_of("billing_lineitem", q=obj.pk)
            yield related("Charges", columns, with_currency(lines), more=address)


@admin.register(ActivityPeriod)
class ActivityPeriodPage(BillingPage):
    """When accounts were active."""

    list_display = [
        when("activated_at", title="active from"),
        link("patient_id", "patients_patient", title="patient account"),
        office(),
        when("deactivated_at", title="until"),
    ]
    list_filter = [("deactivated_at", EmptyFieldListFilter)]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=["patient_id"])
    search_help_text = "Patient account or office (exact)"
    details = [*list_display, when("deactivation_recorded_at", title="end recorded")]
