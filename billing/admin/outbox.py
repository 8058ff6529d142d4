"""The outbox: what waits for Stripe, what is stuck, and the evidence of all that left."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern

from audit.columns import Column, code, label, link, short_id, text, when, yes
from audit.read_only import RelatedTable, may_view, related
from billing.admin.columns import MESSAGE_COLOURS, office
from billing.admin.evidence import evidence_urls
from billing.admin.exports import ExportingPage
from billing.admin.pages import BillingPage, Exactly
from billing.exports.sheets import MessageSheet
from billing.models import OutboundRequest, OutboxMessage, OutboxStep

_STATUS = label("status", MESSAGE_COLOURS)
_MESSAGE = link("message_id", "billing_outboxmessage")

MESSAGE_COLUMNS: list[Column] = [
    link("pk", "billing_outboxmessage", title="message"),
    text("kind"),
    _STATUS,
    text("attempts"),
    text("error_code", title="error"),
    when("next_attempt_at", title="next attempt"),
    when("done_at"),
]
REQUEST_COLUMNS: list[Column] = [
    link("pk", "billing_outboundrequest", title="request"),
    when("sent_at"),
    text("operation"),
    text("method"),
    text("status", title="answer"),
    text("error_code", title="error"),
    yes("replayed", colour="info"),
]
REQUEST_TEXTS = ("path", "query", "body")  # encrypted: read on the page of the one request only
STEP_COLUMNS: list[Column] = [
    text("position", title="step"),
    text("operation"),
    when("first_sent_at", title="first sent"),
    when("done_at"),
    text("stripe_object_id", title="made at Stripe"),
]


@admin.register(OutboxMessage)
class OutboxMessagePage(ExportingPage):
    """Documents for Stripe."""

    sheet = MessageSheet
    list_display = [
        short_id(title="message"),
        office(),
        link("invoice_id", "billing_invoice"),
        text("kind"),
        _STATUS,
        text("attempts"),
        text("error_code", title="error"),
        when("next_attempt_at", title="next attempt"),
        when("done_at"),
    ]
    list_filter = ["status", "kind"]
    list_select_related = ["office"]
    ordering = ["-created_at", "pk"]
    finds = Exactly(office="office_id", ids=["pk", "invoice_id"])
    search_help_text = "Office, cus_…, message or invoice id (exact)"
    details = [
        text("id", title="message"),
        office(),
        link("invoice_id", "billing_invoice"),
        text("kind"),
        _STATUS,
        text("attempts"),
        text("error_code", title="error"),
        when("created_at"),
        when("next_attempt_at", title="next attempt"),
        when("lease_expires_at", title="leased until"),
        when("done_at"),
        code("payload", title="document"),
        code("payload_digest", title="digest"),
    ]

    def related_tables(self, request: HttpRequest, obj: OutboxMessage) -> Iterable[RelatedTable]:
        """Show how far the delivery came, and what left."""
        if may_view(request, OutboxStep):
            yield related("Steps", STEP_COLUMNS, obj.steps.defer("customer_id").order_by("position"))
        if may_view(request, OutboundRequest):
            yield related("Requests that left", REQUEST_COLUMNS, obj.requests.defer(*REQUEST_TEXTS).order_by("pk"))


@admin.register(OutboxStep)
class OutboxStepPage(BillingPage):
    """Writes to Stripe: the recovery points of a delivery."""

    list_display = [short_id("idempotency_key", title="idempotency key"), _MESSAGE, *STEP_COLUMNS]
    ordering = ["-pk"]
    finds = Exactly(ids=["message_id", "idempotency_key"])
    search_help_text = "Message id or idempotency key (exact)"
    details = [
        _MESSAGE,
        *STEP_COLUMNS,
        text("customer_id", title="customer"),
        text("idempotency_key"),
        text("key_version"),
        yes("answered_with_error", colour="warning"),
    ]


@admin.register(OutboundRequest)
class OutboundRequestPage(BillingPage):
    """All that ever left for Stripe, as it was encoded."""

    list_display = [when("sent_at"), _MESSAGE, *REQUEST_COLUMNS[2:]]
    list_filter = ["method", "replayed"]
    ordering = ["-pk"]
    finds = Exactly(ids=["message_id", "message__invoice_id"])
    search_help_text = "Message or invoice id (exact)"
    details = [
        when("sent_at"),
        _MESSAGE,
        *REQUEST_COLUMNS[2:],
        code("path"),
        code("query"),
        code("body"),
        code("digest"),
        text("idempotency_key"),
        text("policy_version"),
    ]

    def get_urls(self) -> list[URLPattern]:
        """Add the evidence report: it tells of these requests."""
        return [*evidence_urls(self), *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Allow besides what the page of an invoice links to."""
        return lookup == "message__invoice__id__exact" or super().lookup_allowed(lookup, value, request)
