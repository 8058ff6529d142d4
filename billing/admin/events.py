"""Events: what Stripe told us, as ids, types and times."""

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter

from audit.columns import Column, code, label, text, when, yes
from billing.admin.columns import EVENT_COLOURS, stripe_id
from billing.admin.pages import BillingPage, Exactly
from billing.models import EventReplay, ExpectedEvent, StripeEvent

EVENT_COLUMNS: list[Column] = [
    stripe_id("event_id", title="event"),
    text("event_type", title="type"),
    label("status", EVENT_COLOURS),
    when("created"),
    when("received_at"),
    when("processed_at"),
    text("error_code", title="error"),
]


@admin.register(StripeEvent)
class StripeEventPage(BillingPage):
    """The inbox."""

    list_display = [*EVENT_COLUMNS[:2], stripe_id("object_id", title="object"), EVENT_COLUMNS[2], *EVENT_COLUMNS[4:]]
    list_filter = ["status", "error_code", "livemode", ("conflict_at", EmptyFieldListFilter)]
    ordering = ["-received_at", "pk"]
    finds = Exactly(ids=[], texts=["pk", "object_id"], customer="customer_index")
    search_help_text = "evt_… or the object's id (exact)"
    details = [
        text("event_id", title="event"),
        EVENT_COLUMNS[1],
        text("object_id", title="object"),
        text("customer_id", title="customer"),
        *EVENT_COLUMNS[2:],
        text("attempts"),
        when("next_attempt_at", title="next attempt"),
        when("conflict_at", title="arrived with another content"),
        yes("livemode", title="live mode"),
        text("api_version"),
        code("digest"),
    ]


@admin.register(ExpectedEvent)
class ExpectedEventPage(BillingPage):
    """What Stripe should tell us after each write; what stays silent is fetched."""

    details = [
        text("event_type", title="expected"),
        text("stripe_object_id", title="about"),
        when("registered_at"),
        when("expected_by"),
        when("heard_at"),
        when("pulled_at", title="fetched instead"),
    ]
    list_filter = [("heard_at", EmptyFieldListFilter), ("pulled_at", EmptyFieldListFilter)]
    ordering = ["-pk"]
    finds = Exactly(ids=[], texts=["stripe_object_id"])
    search_help_text = "Stripe id (exact)"


@admin.register(EventReplay)
class EventReplayPage(BillingPage):
    """Windows of Stripe's list of events that were asked for again."""

    list_display = [
        when("window_from"),
        when("window_until"),
        text("events_seen", title="seen"),
        text("events_new", title="missed"),
        when("finished_at"),
        text("actor"),
    ]
    list_filter = ["dry_run", ("finished_at", EmptyFieldListFilter)]
    ordering = ["-window_until", "-pk"]
    details = [
        *list_display,
        text("events_unreadable", title="unreadable"),
        yes("dry_run", title="dry run"),
        when("started_at"),
    ]
