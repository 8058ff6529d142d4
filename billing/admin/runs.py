"""Billing runs, and the offices that they left standing."""

import json
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from audit.columns import Column, Shown, label, text, when
from audit.staff_forms import StaffForm, staff_actor
from billing.admin.columns import RUN_COLOURS, computed, money_text, office
from billing.admin.pages import BillingPage, Exactly
from billing.admin.progress import look_again, of_billing_run
from billing.admin.run_start import StartRun
from billing.models import BillingRun, ParkedOffice, RunStatus
from billing.parking import LONGEST_REASON, ReasonMissing
from billing.unparking import OfficeNotParked, unpark_office
from offices.locking import OfficeBusy

PARKING_COLUMNS: list[Column] = [
    text("code", title="reason"),
    when("parked_at"),
    text("parked_by", title="stopped by"),
    text("park_reason", title="stopped because"),
    when("unparked_at"),
    text("unparked_by", title="released by"),
    text("unpark_reason", title="released because"),
]


def _billed(run: BillingRun) -> Shown:
    amounts: dict[str, int] = json.loads(run.billed)
    return ", ".join(money_text(cents, currency) for currency, cents in sorted(amounts.items())) or None


RUN_COLUMNS: list[Column] = [
    when("as_of", title="due as of"),
    label("status", RUN_COLOURS),
    when("started_at"),
    when("finished_at"),
    text("cycles_opened", title="opened"),
    text("cycles_closed", title="closed"),
    text("lines_added", title="lines"),
    computed("billed", _billed),
    text("offices_parked", title="parked"),
]
PROGRESS = computed("progress", of_billing_run)


@admin.register(BillingRun)
class BillingRunPage(BillingPage):
    """What each run did."""

    list_display = [*RUN_COLUMNS]
    list_filter = ["status"]
    ordering = ["-started_at", "-pk"]
    finds = Exactly()
    search_help_text = "Run id (exact)"
    list_before_template = "admin/run_start_link.html"
    details = [
        text("id", title="run"),
        *RUN_COLUMNS,
        PROGRESS,
        text("invoices_closed"),
        text("already_done"),
        text("actor"),
        text("reason", title="started because"),
    ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Look again by itself while the run waits for a worker or is under way, for some minutes."""
        answer = super().change_view(request, object_id, form_url, extra_context)
        run = self.get_object(request, object_id)
        under_way = run is not None and run.status in {RunStatus.ASKED, RunStatus.RUNNING}
        return look_again(request, answer) if under_way else answer

    def get_urls(self) -> list[URLPattern]:
        """Add the page to start one."""
        start = self.admin_site.admin_view(StartRun.as_view(page=self))
        return [path("start/", start, name="billing_billingrun_start"), *super().get_urls()]


class UnparkForm(forms.Form):
    """Why the office may go on."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
        help_text="What was looked into and mended. Stays on the parking; write no patient's name.",
    )


class Unpark(StaffForm):
    """Release a parked office."""

    permission = "billing.unpark_office"
    form_class = UnparkForm
    title = "Let a parked office go on"
    lead = (
        "Billing of the office and delivery to Stripe go on, with the messages that were parked. What parked it and "
        "still holds parks it again at once."
    )
    submit = "Let it go on"
    done = "The office goes on."
    expected: ClassVar = (OfficeNotParked, ReasonMissing, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show which office, and why it stands."""
        parking: ParkedOffice = self.row
        return [
            ("Office", parking.office.reference),
            ("Parked because", parking.get_code_display()),
            ("Parked", f"{parking.parked_at:%Y-%m-%d %H:%M} UTC"),
            *([("Stopped by", f"{parking.parked_by}: {parking.park_reason}")] if parking.parked_by else []),
            ("Incident", str(parking.incident_id)),
        ]

    def act(self, form: Any) -> str:
        """Release it, and go back to the parking."""
        reason, actor = form.cleaned_data["reason"], staff_actor(self.request)
        unpark_office(office_id=self.row.office_id, reason=reason, actor=actor, now=timezone.now())
        return self.back()


@admin.register(ParkedOffice)
class ParkedOfficePage(BillingPage):
    """Offices in a doubtful state, now and earlier."""

    list_display = [PARKING_COLUMNS[0], office(), *PARKING_COLUMNS[1:]]
    list_filter = [("unparked_at", EmptyFieldListFilter), "code"]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=["incident_id"])
    search_help_text = "Office or incident id (exact)"
    details = [*list_display, text("incident_id", title="incident")]
    actions_detail = ["unpark"]

    @action(description="Let it go on", icon="play_arrow", url_path="unpark")
    def unpark(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Ask why the office may go on."""
        return Unpark.as_view(page=self)(request, object_id=object_id)

    def offers(self, request: HttpRequest, row: ParkedOffice) -> bool:
        """Offer it while the office stands, to who may."""
        return row.unparked_at is None and request.user.has_perm(Unpark.permission)
