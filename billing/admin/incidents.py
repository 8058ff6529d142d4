"""Blocked attempts, and the canary that must be blocked every time."""

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter

from audit.columns import Column, Shown, coloured, link, text, when
from billing.admin.columns import computed, office
from billing.admin.pages import BillingPage, Exactly
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


@admin.register(CanaryRun)
class CanaryRunPage(BillingPage):
    """Leaks that were tried on purpose."""

    details = [when("at"), computed("outcome", _outcome)]
    list_filter = ["blocked"]
    ordering = ["-at", "-pk"]
    finds = Exactly(ids=[])
    search_fields = ()
