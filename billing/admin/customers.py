"""Offices at Stripe: their ids, encrypted and shown on the page of one only, and what Stripe may know of them."""

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter

from audit.columns import Column, text, when
from billing.admin.columns import office
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
    details = [*list_display, text("advice"), text("override_reason", title="approved against it because")]


@admin.register(ProfileRejection)
class ProfileRejectionPage(BillingPage):
    """What a person rejected of what an office calls itself, and why."""

    list_display = [office(), *REJECTION_COLUMNS]
    list_select_related = ["office"]
    ordering = ["-pk"]
    finds = Exactly(office="office_id", ids=[])
    search_help_text = "Office or cus_… (exact)"
    details = [*list_display]
