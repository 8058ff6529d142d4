"""What is drawn from the seed: who does what next, and where it dies, stops or lingers."""

import random
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef

from billing.delivery_steps import waiting_messages
from billing.fail_points import FailPoint
from billing.models import EventStatus, StripeEvent
from billing.run_chunk import due_offices
from offices.models import Office
from patients.models import ActivityPeriod, Patient

Order = dict[str, Any]
# How far each act comes as a rule, so that most plans end it: statements, commits, requests, milliseconds.
DEPTHS = {
    "run": (50, 2, 0, 300),
    "deliver": (45, 8, 5, 250),
    "events": (25, 5, 2, 150),
    "activate": (14, 1, 0, 60),
    "deactivate": (8, 1, 0, 40),
    "charge": (18, 1, 0, 60),
    "replay": (5, 2, 1, 60),
    "silence": (3, 1, 0, 50),
    "checkpoint": (4, 1, 0, 50),
    "canary": (1, 0, 0, 50),
}
KINDS = ("none", "linger", *["point", "statement", "commit", "request", "moment"] * 2)
POINTS_OF = {"run": "run.", "deliver": "delivery.", "events": "events."}
# A worker may stand still where it holds no lock: a process that stops inside a transaction is a database's matter.
STANDSTILLS = (
    FailPoint.DELIVERY_LEASED, FailPoint.DELIVERY_STEP_RECORDED, FailPoint.DELIVERY_STEP_SENT,
    FailPoint.DELIVERY_STEP_DONE, FailPoint.EVENTS_CLAIMED, FailPoint.EVENTS_FETCHED,
)  # fmt: skip


class Draws:
    """Draws orders that make sense now."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.offices = [str(pk) for pk in Office.objects.order_by("reference").values_list("pk", flat=True)]

    def order(self, now: datetime) -> Order:
        """Draw what a worker does: mostly what waits."""
        wishes = ["activate", "activate", "deactivate", "charge", "charge", "replay", "silence", "checkpoint", "canary"]
        if due_offices(now).exists():
            wishes += ["run"] * 8
        if waiting_messages(now).exists():
            wishes += ["deliver"] * 16
        if StripeEvent.objects.filter(status=EventStatus.PENDING, next_attempt_at__lte=now).exists():
            wishes += ["events"] * 8
        act = self.source.choice(wishes)
        return self.order_of(act, now) | {"plan": self.plan(act)}

    def order_of(self, act: str, now: datetime) -> Order:
        order: Order = {"act": act}
        if act in {"activate", "deactivate"}:
            order |= self._patient(active=act == "deactivate")
            if act == "activate" and self.source.random() < 0.4:  # backdated, often into a cycle that is over
                order |= self.backdated(now, self.source.randint(1, 60))
        if act == "charge":
            order |= {"office": self.source.choice(self.offices), "cents": self.source.randint(100, 90_000)}
        return order

    def backdated(self, now: datetime, days: int) -> Order:
        return {"activated_at": (now - timedelta(days=days)).isoformat()}

    def _patient(self, *, active: bool) -> Order:
        open_period = ActivityPeriod.objects.filter(patient=OuterRef("pk"), deactivated_at__isnull=True)
        rows = Patient.objects.filter(Exists(open_period) if active else ~Exists(open_period)).order_by("pk")
        found = list((rows if rows.exists() else Patient.objects.order_by("pk")).values_list("office", "pk"))
        office, patient = self.source.choice(found)
        return {"office": str(office), "patient": str(patient)}

    def plan(self, act: str) -> Order:
        """Draw where the worker dies; some live, and some are slow."""
        kind = self.source.choice(KINDS)
        depth = dict(zip(("statement", "commit", "request", "moment"), DEPTHS[act], strict=True))
        points = [point for point in FailPoint if act in POINTS_OF and point.startswith(POINTS_OF[act])]
        points += [point for point in FailPoint if act == "deliver" and point.startswith("correction.")]
        if kind == "none":
            return {}
        if kind == "point" and points:
            return {"kind": kind, "point": str(self.source.choice(points)), "hit": self.source.randint(1, 2)}
        end = "linger" if kind == "linger" else "kill"
        kind = kind if depth.get(kind) else "statement"
        side = self.source.choice(["before", "after"])
        return {"kind": kind, "side": side, "hit": self.source.randint(1, depth[kind]), "end": end}

    def in_flight(self) -> Order:
        """Die after a write has left, while Stripe has not yet acted on it."""
        return {"kind": "write", "side": "during", "hit": self.source.randint(1, 5)}

    def standstill(self, act: str) -> Order:
        point = self.source.choice([each for each in STANDSTILLS if each.startswith(POINTS_OF[act])])
        return {"kind": "point", "point": str(point), "hit": self.source.randint(1, 3), "end": "stop"}


def slow(place: int) -> Order:
    """A plan that lets a worker linger after that statement."""
    return {"kind": "statement", "side": "after", "hit": place, "end": "linger"}
