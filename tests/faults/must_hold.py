"""What must hold after every fault: the one checker of the invariants, and what it cannot know without the harness."""

from collections import Counter
from typing import Any

from django.db import connection
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from audit.models import SealedHead, StreamHead
from billing.models import (
    BillingCycle,
    CanaryRun,
    Correction,
    EventStatus,
    Incident,
    Invoice,
    MessageStatus,
    OutboxMessage,
    ParkedOffice,
    StripeEvent,
)
from billing.run_chunk import due_offices
from tests.canary.search import is_found
from tests.faults.worlds import World
from tests.invariants import Violation, violations


class Broken(Exception):
    """Something does not hold: which, where, and what had been done before."""

    def __init__(self, found: list[Violation], told: list[str]) -> None:
        super().__init__("\n".join(f"{each.invariant} {each.subject}: {each.what}" for each in found))
        self.found, self.told = found, told


def surfaced(answer: dict[str, Any]) -> list[str]:
    """Return the error that a caller would have seen, if there was one."""
    return [answer["error"]] if "error" in answer else []


def at_any_moment(world: World) -> list[Violation]:
    """Return what is broken in the middle of things.

    News on its way from Stripe is no difference yet (I9), nor is an invoice that a correction under way has just voided
    there (I4).
    """
    corrected = {str(pk) for pk in Correction.objects.filter(status="approved").values_list("invoice", flat=True)}
    found = [each for each in violations(world.stripe) if each.invariant != "I9"]
    return [each for each in found if each.invariant != "I4" or each.subject not in corrected] + _always(world)


def at_rest(world: World) -> list[Violation]:
    """Return what is broken once nothing waits any more: nothing may be missing then."""
    found = [*violations(world.stripe), *_always(world), *_unfinished(world), *unsealed()]
    if is_found(world.stripe.all_bytes()):
        found.append(Violation("I12", "Stripe", "a patient's identity is in what was sent"))
    return found


def waits(world: World) -> bool:
    """Whether anything still has to happen by itself."""
    messages = OutboxMessage.objects.filter(status__in=[MessageStatus.PENDING, MessageStatus.LEASED])
    events = StripeEvent.objects.filter(status__in=[EventStatus.PENDING, EventStatus.QUARANTINED])
    return messages.exists() or events.exists() or due_offices(world.clock.at).exists()


def unsealed() -> list[Violation]:
    """A checkpoint that was made while nobody wrote seals everything there is (I10)."""
    latest = SealedHead.objects.filter(stream=OuterRef("stream")).order_by("-seq").values("seq")[:1]
    behind = StreamHead.objects.filter(seq__gt=0).exclude(seq=Coalesce(Subquery(latest), 0))
    return [Violation("I10", each.stream, f"#{each.seq} is not sealed") for each in behind]


def _always(world: World) -> list[Violation]:
    """No fault of ours needs a person: nobody is parked, nothing was blocked, what is done stays done."""
    undone = OutboxMessage.objects.filter(done_at__isnull=False).exclude(status=MessageStatus.DONE)
    found = [Violation("I8", str(each.pk), f"was done and is {each.status}") for each in undone]
    parked = ParkedOffice.objects.filter(unparked_at__isnull=True)
    found += [Violation("no person", str(each.office_id), f"parked: {each.code}") for each in parked]
    found += [Violation("I12", "canary", "a leak was not blocked") for _ in CanaryRun.objects.filter(blocked=False)]
    found += [Violation("I12", each.call_site, "a request of ours was blocked") for each in Incident.objects.all()]
    customers = Counter(each["metadata"].get("office_id") for each in world.stripe.objects("customer"))
    found += [Violation("I5", f"{office}", f"{n} customers at Stripe") for office, n in customers.items() if n > 1]
    if deadlocks(world):
        found.append(Violation("no deadlock", world.name, "PostgreSQL had to break one"))
    return found


def deadlocks(world: World) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", [world.name])
        return cursor.fetchone()[0]


def _unfinished(world: World) -> list[Violation]:
    overtaken = Q(status=MessageStatus.DEAD, error_code="superseded")
    messages = OutboxMessage.objects.exclude(Q(status=MessageStatus.DONE) | overtaken)
    found = [Violation("I8", str(each.pk), f"{each.kind} message still {each.status}") for each in messages]
    over = BillingCycle.objects.filter(closed_at__isnull=True, end_at__lte=world.clock.at)
    found += [Violation("I2", each.key, "a cycle that is over was not closed") for each in over]
    unsent = Invoice.objects.filter(closed_at__isnull=False, status="draft").filter(total_cents__gt=0)
    found += [Violation("I8", str(pk), "closed and never sent") for pk in unsent.values_list("pk", flat=True)]
    news = StripeEvent.objects.filter(status__in=[EventStatus.PENDING, EventStatus.DEAD, EventStatus.QUARANTINED])
    return found + [Violation("I9", each.event_id, f"{each.event_type} is {each.status}") for each in news]
