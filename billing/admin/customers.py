"""Offices at Stripe: their ids, encrypted and shown on the page of one only, and what Stripe may know of them."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.http import HttpRequest

from audit.columns import Column, text, when
from billing.admin.columns import office
from billing.admin.office_actions import ApproveProfile
from billing.admin.pages import BillingPage, Exactly
from billing.models import OfficeProfile, ProfileRejection
from offices.models import OfficeStripeAccount

PROFILE_COLUMNS: list[Column] = [
    text("name", title="name at Stripe"),
    text("email", title="e-mail at Stripe"),
    when("approved_at"),
    text("approved_by"),
    when("replaced_at"),
]
_ADVICE = text("advice")

REJECTION_COLUMNS: list[Column] = [when("rejected_at"), text("rejected_by"), text("reason", title="because")]


@admin.register(OfficeStripeAccount)
class OfficeStripeAccountPage(BillingPage):
    """Which office is which customer."""

    list_display = [text("pk", title="office id"), office(), when("created_at")]
    list_select_related = ["office"]
    ordering = ["pk"]
    finds = Exactly(office="office_id")
    search_help_text = "Office, its id or cus_… (exact)"
    details = [
        office(),
        text("customer_id", title="customer at Stripe"),
        text("subscription_id", title="earlier subscription"),
        when("created_at"),
    ]


@admin.register(OfficeProfile)
class OfficeProfilePage(BillingPage):
    """What a person approved, word for word; nothing else of an office may leave."""

    list_display = [PROFILE_COLUMNS[0], office(), *PROFILE_COLUMNS[1:]]
    list_filter = [("replaced_at", EmptyFieldListFilter)]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=[])
    search_help_text = "Office or cus_… (exact)"
    details = [*list_display, _ADVICE, text("override_reason", title="approved against the advice because")]

    def details_for(self, request: HttpRequest) -> list[Column]:
        """Show the advice to those alone who approve: it may tell that an office's owner is its patient."""
        may_approve = request.user.has_perm(ApproveProfile.permission)
        return [column for column in self.details if may_approve or column is not _ADVICE]

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Answer no question about it either."""
        return not lookup.startswith("advice") and super().lookup_allowed(lookup, value, request)


@admin.register(ProfileRejection)
class ProfileRejectionPage(BillingPage):
    """What a person rejected of what an office calls itself, and why."""

    list_display = [office(), *REJECTION_COLUMNS]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=[])
    search_help_text = "Office or cus_… (exact)"
    details = [*list_display]
