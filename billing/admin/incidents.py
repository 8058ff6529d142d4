"""Blocked attempts, and the canary that must be blocked every time."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from audit.columns import Column, Shown, coloured, link, text, when
from audit.staff_forms import StaffForm, staff_actor
from billing.admin.columns import computed, office
from billing.admin.pages import BillingPage, Exactly
from billing.incidents import (
    LONGEST_DISPOSITION,
    DispositionInvalid,
    Finding,
    IncidentNotOpen,
    as_disposition,
    dispose_incident,
)
from billing.models import CanaryRun, Incident

INCIDENT_COLUMNS: list[Column] = [
    link("pk", "billing_incident", title="incident"),
    when("at"),
    text("reason"),
    text("operation"),
    text("parameter"),
    when("disposed_at"),
]


def _outcome(run: CanaryRun) -> Shown:
    return coloured("blocked", "success") if run.blocked else coloured("passed", "danger")


class DispositionForm(forms.Form):
    """What was found out, and what was done."""

    finding = forms.ChoiceField(
        choices=[(each.value, each.value.replace("_", " ").capitalize()) for each in Finding],
        widget=UnfoldAdminSelectWidget,
    )
    note = forms.CharField(
        required=False,
        # The finding and a colon stand before it in what is kept.
        max_length=LONGEST_DISPOSITION - max(map(len, Finding)) - 2,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="What was done. Stays on the incident and in no report; write no patient's name.",
    )


class DisposeIncident(StaffForm):
    """Record what a person found out."""

    permission = "billing.dispose_incident"
    form_class = DispositionForm
    title = "Close a blocked attempt"
    lead = (
        "Say what was behind it. The finding appears in the month's evidence report, and no further alert goes out. "
        "The office, where it was parked for this, stays parked until it is released."
    )
    submit = "Record the finding"
    done = "Recorded."
    expected: ClassVar = (DispositionInvalid, IncidentNotOpen)

    def facts(self) -> list[tuple[str, str]]:
        """Show what was blocked."""
        incident: Incident = self.row
        return [
            ("Incident", str(incident.pk)),
            ("At", f"{incident.at:%Y-%m-%d %H:%M} UTC"),
            ("Reason", incident.reason),
            ("Operation", incident.operation),
            ("Parameter", incident.parameter),
        ]

    def act(self, form: Any) -> str:
        """Record it, and go back to the incident."""
        words = as_disposition(Finding(form.cleaned_data["finding"]), form.cleaned_data["note"])
        actor, now = staff_actor(self.request), timezone.now()
        dispose_incident(incident_id=self.row.pk, disposition=words, actor=actor, now=now)
        return self.back()


@admin.register(Incident)
class IncidentPage(BillingPage):
    """Requests that the guard stopped. What they carried is not known to anybody."""

    list_display = [when("at"), text("reason"), office(), *INCIDENT_COLUMNS[3:], when("alerted_at")]
    list_filter = [("disposed_at", EmptyFieldListFilter)]
    list_select_related = ["office"]
    ordering = ["-at", "-pk"]
    finds = Exactly(office="office_id")
    search_help_text = "Office or incident id (exact)"
    details = [
        text("id", title="incident"),
        *list_display,
        link("message_id", "billing_outboxmessage"),
        text("path_template"),
        text("call_site"),
        text("actor"),
        text("policy_version"),
        text("disposed_by"),
        text("disposition"),
    ]
    actions_detail = ["dispose"]

    @action(description="Record a finding", icon="task_alt", url_path="dispose")
    def dispose(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask what was found out."""
        return DisposeIncident.as_view(page=self)(request, object_id=object_id)

    def offers(self, request: HttpRequest, row: Incident) -> bool:
        """Offer to close an open one, to who may."""
        return row.disposed_at is None and request.user.has_perm(DisposeIncident.permission)


@admin.register(CanaryRun)
class CanaryRunPage(BillingPage):
    """Leaks that were tried on purpose."""

    details = [when("at"), computed("outcome", _outcome)]
    list_filter = ["blocked"]
    ordering = ["-at", "-pk"]
    finds = Exactly(ids=[])
    search_fields = ()
