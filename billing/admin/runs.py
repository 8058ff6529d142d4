"""Billing runs, and the offices that they left standing."""

import json

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter

from audit.columns import Column, Shown, label, text, when
from billing.admin.columns import RUN_COLOURS, computed, money_text, office
from billing.admin.pages import BillingPage, Exactly
from billing.models import BillingRun, ParkedOffice

PARKING_COLUMNS: list[Column] = [
    text("code", title="reason"),
    when("parked_at"),
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


@admin.register(BillingRun)
class BillingRunPage(BillingPage):
    """What each run did."""

    list_display = [*RUN_COLUMNS]
    list_filter = ["status"]
    ordering = ["-started_at", "-pk"]
    finds = Exactly()
    search_help_text = "Run id (exact)"
    details = [
        text("id", title="run"),
        *RUN_COLUMNS,
        text("invoices_closed"),
        text("already_done"),
        text("actor"),
    ]


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
