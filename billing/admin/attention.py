"""What needs a person: counts on the first page, each a link to the rows behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import CharField, Count, QuerySet, Value
from django.http import HttpRequest
from django.utils import timezone

from audit.read_only import list_of, may_view
from billing.admin.correction_decisions import Approve
from billing.admin.correction_filters import waiting_for
from billing.admin.due import LONG, overdue_offices
from billing.event_health import RECENT
from billing.models import (
    BillingRun,
    Correction,
    Discrepancy,
    DiscrepancyStatus,
    EventStatus,
    EventTrouble,
    ExpectedEvent,
    Incident,
    Invoice,
    InvoiceStatus,
    MessageStatus,
    OutboxMessage,
    ParkedOffice,
    RunStatus,
    StripeEvent,
)
from billing.silence import overdue_at
from offices.models import Office

LONGEST_RUN = timedelta(hours=1)  # the next one begins then
BEFORE_OUR_COMMIT = timedelta(minutes=10)  # an event of what is being sent may be here first: it waits by itself


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of trouble: its rows, and the filters by which the list of the same model shows just these."""

    title: str
    hint: str
    rows: QuerySet[Any]
    filters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Attention:
    """The same, counted: how many there are, and where they are listed."""

    title: str
    hint: str
    count: int
    address: str


def attention(request: HttpRequest) -> list[Attention]:
    """Count each kind of trouble that the user may look behind, all in one query."""
    troubles = [each for each in _troubles(request) if may_view(request, each.rows.model)]
    counts = _counts(troubles)
    return [
        Attention(each.title, each.hint, counts.get(each.title, 0), _address(each.rows.model, each.filters))
        for each in troubles
    ]


def _counts(troubles: list[Trouble]) -> dict[str, int]:
    named = [
        each.rows.order_by()
        .annotate(trouble=Value(each.title, output_field=CharField()))
        .values_list("trouble")
        .annotate(number=Count("pk"))
        for each in troubles
    ]
    if not named:
        return {}
    return dict(named[0].union(*named[1:], all=True)) if len(named) > 1 else dict(named[0])


def _address(model: Any, filters: dict[str, str]) -> str:
    return list_of(f"{model._meta.app_label}_{model._meta.model_name}", **filters)


def _troubles(request: HttpRequest) -> Iterator[Trouble]:
    """Yield what people have to decide about or to look into."""
    if request.user.has_perm(Approve.permission):
        yield Trouble(
            "Corrections for you to decide",
            "Asked for by somebody else",
            waiting_for(request, Correction.objects.all()),
            {"waiting": "me"},
        )
    failed = InvoiceStatus.FAILED
    yield Trouble(
        "Failed invoices",
        "Stripe could not collect",
        Invoice.objects.filter(status=failed),
        {"status__exact": failed.value},
    )
    late = Office.objects.filter(past_due_since__isnull=False)
    yield Trouble("Offices past due", "An invoice is unpaid past its day", late, {"past_due_since__isempty": "0"})
    parked = ParkedOffice.objects.filter(unparked_at__isnull=True)
    yield Trouble("Parked offices", "Stopped until somebody looks", parked, {"unparked_at__isempty": "1"})
    differing = Discrepancy.objects.filter(status=DiscrepancyStatus.OPEN)
    open_ = {"status__exact": DiscrepancyStatus.OPEN.value}
    yield Trouble("Open differences", "Our books and Stripe's do not agree", differing, open_)
    yield from _late(timezone.now())
    blocked = Incident.objects.filter(disposed_at__isnull=True)
    yield Trouble(
        "Blocked attempts", "The guard stopped a request: look at each", blocked, {"disposed_at__isempty": "1"}
    )
    yield from _stuck()


def _late(now: datetime) -> Iterator[Trouble]:
    """Yield what the hourly run has left."""
    yield Trouble("Runs overdue", "Offices that wait for a billing run", overdue_offices(now), {"due": LONG})
    since = now - LONGEST_RUN
    yield Trouble(
        "Runs that did not end",
        "Killed or stuck: the next run does the rest",
        BillingRun.objects.filter(status=RunStatus.RUNNING, started_at__lt=since),
        {"status__exact": RunStatus.RUNNING.value, "started_at__lt": since.isoformat()},
    )


def _stuck() -> Iterator[Trouble]:
    """Yield what is stuck on the way to Stripe or from it."""
    stuck = (MessageStatus.DEAD, MessageStatus.PARKED)
    yield Trouble(
        "Messages that wait",
        "Dead or parked on their way to Stripe",
        OutboxMessage.objects.filter(status__in=stuck),
        {"status__in": ",".join(stuck)},
    )
    now, unread = timezone.now(), (EventStatus.QUARANTINED, EventStatus.DEAD)
    patience = now - BEFORE_OUR_COMMIT
    yield Trouble(
        "Events not understood",
        "About an object we do not know",
        StripeEvent.objects.filter(status__in=unread, received_at__lt=patience),
        {"status__in": ",".join(unread), "received_at__lt": patience.isoformat()},
    )
    odd = (EventTrouble.OTHER_MODE, EventTrouble.OTHER_VERSION)
    yield Trouble(
        "Events of another version or mode",
        "The endpoint at Stripe is set up wrong",
        StripeEvent.objects.filter(error_code__in=odd, received_at__gt=now - RECENT),
        {"error_code__in": ",".join(odd)},
    )
    silent: QuerySet[ExpectedEvent] = overdue_at(now)
    yield Trouble(
        "Silence of Stripe",
        "News that a request should have brought by now",
        silent,
        {"heard_at__isempty": "1", "pulled_at__isempty": "1", "expected_by__lte": now.isoformat()},
    )
