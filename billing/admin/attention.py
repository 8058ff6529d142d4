"""What needs a person: counts on the first page, each a link to the rows behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from audit.read_only import list_of, may_view, related
from billing.admin.runs import RUN_COLUMNS
from billing.event_health import event_health
from billing.models import (
    BillingRun,
    EventStatus,
    EventTrouble,
    Incident,
    Invoice,
    InvoiceStatus,
    MessageStatus,
    OutboxMessage,
    ParkedOffice,
    StripeEvent,
)
from offices.models import Office

LATEST_RUNS = 8


@dataclass(frozen=True, slots=True)
class Attention:
    """A kind of trouble: how many there are, and where they are listed."""

    title: str
    hint: str
    count: int
    address: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the first page: the counts, and the latest runs."""
    latest = []
    if may_view(request, BillingRun):
        runs = BillingRun.objects.order_by("-started_at")[:LATEST_RUNS]
        latest = [related("Latest runs", RUN_COLUMNS, list(runs), more=list_of("billing_billingrun"))]
    return context | {"title": "Overview", "attention": list(_attention(request)), "related_tables": latest}


def _attention(request: HttpRequest) -> Iterator[Attention]:
    """Yield each count that the user may look behind."""
    if may_view(request, Invoice):
        failed = Invoice.objects.filter(status=InvoiceStatus.FAILED).count()
        address = list_of("billing_invoice", status__exact=InvoiceStatus.FAILED.value)
        yield Attention("Failed invoices", "Stripe could not collect", failed, address)
    if may_view(request, Office):
        late = Office.objects.filter(past_due_since__isnull=False).count()
        address = list_of("offices_office", past_due_since__isempty=0)
        yield Attention("Offices past due", "An invoice is unpaid past its day", late, address)
    if may_view(request, ParkedOffice):
        parked = ParkedOffice.objects.filter(unparked_at__isnull=True).count()
        address = list_of("billing_parkedoffice", unparked_at__isempty=1)
        yield Attention("Parked offices", "Stopped until somebody looks", parked, address)
    if may_view(request, Incident):
        blocked = Incident.objects.filter(disposed_at__isnull=True).count()
        address = list_of("billing_incident", disposed_at__isempty=1)
        yield Attention("Blocked attempts", "The guard stopped a request: look at each", blocked, address)
    yield from _stuck(request)


def _stuck(request: HttpRequest) -> Iterator[Attention]:
    """Yield what is stuck on the way to Stripe or from it."""
    if may_view(request, OutboxMessage):
        stuck = (MessageStatus.DEAD, MessageStatus.PARKED)
        messages = OutboxMessage.objects.filter(status__in=stuck).count()
        address = list_of("billing_outboxmessage", status__in=",".join(stuck))
        yield Attention("Messages that wait", "Dead or parked on their way to Stripe", messages, address)
    if may_view(request, StripeEvent):
        unread = (EventStatus.QUARANTINED, EventStatus.DEAD)
        events = StripeEvent.objects.filter(status__in=unread).count()
        address = list_of("billing_stripeevent", status__in=",".join(unread))
        yield Attention("Events not understood", "About an object we do not know", events, address)
        health = event_health(now=timezone.now())
        address = list_of(
            "billing_stripeevent", error_code__in=f"{EventTrouble.OTHER_MODE},{EventTrouble.OTHER_VERSION}"
        )
        odd = health.other_mode + health.other_version
        yield Attention("Events of another version or mode", "The endpoint at Stripe is set up wrong", odd, address)
        address = list_of("billing_expectedevent", heard_at__isempty=1, pulled_at__isempty=1)
        yield Attention("Silence of Stripe", "News that a request should have brought by now", health.silent, address)
