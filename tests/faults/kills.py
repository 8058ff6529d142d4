"""Random kills: two workers at work, each dying somewhere, Stripe faulty, webhooks lost and doubled, time jumping."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q

from billing.delivery_steps import waiting_messages
from billing.fail_points import FailPoint
from billing.models import BillingCycle, EventStatus, Invoice, MessageStatus, OutboxMessage, ParkedOffice, StripeEvent
from billing.run_chunk import due_offices
from offices.models import Office
from patients.models import Patient
from sandbox.stripe_standin.errors import StripeFailure
from tests.billing.scenes import ring
from tests.canary.search import is_found
from tests.faults.worlds import World
from tests.invariants import Violation, violations

LEASE_PASSED = timedelta(minutes=6)
A_MONTH = timedelta(days=31)
ROUNDS = 400  # of a world at most; a world that kills nobody any more is left
SETTLING_ROUNDS = 60


class Broken(Exception):
    """An invariant does not hold: which, where, and after what."""

    def __init__(self, found: list[Violation], told: list[str]) -> None:
        super().__init__("\n".join(f"{each.invariant} {each.subject}: {each.what}" for each in found))
        self.found, self.told = found, told


@dataclass
class Tally:
    """What a drill did."""

    kills: int = 0
    checks: int = 0
    at: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        self.kills += other.kills
        self.checks += other.checks
        self.at.update(other.at)


class KillRun:
    """One world lived through with kills."""

    def __init__(self, world: World, wanted: int) -> None:
        self.world, self.draw, self.wanted = world, world.draw, wanted
        self.tally = Tally()
        self.told: list[str] = []
        self.collected = 0
        self.under_way: list[dict[str, Any]] = []
        self.offices = [str(pk) for pk in Office.objects.order_by("reference").values_list("pk", flat=True)]
        rows = Patient.objects.order_by("pk").values_list("office", "pk")
        self.patients = sorted((str(office), str(patient)) for office, patient in rows)

    def live(self) -> Tally:
        """Kill, and check after each; then let everything come to rest, and check all of it."""
        for _ in range(ROUNDS):
            if self.tally.kills >= self.wanted:
                break
            self.one_round()
        self.settle()
        return self.tally

    # --- One round ---
    def one_round(self) -> None:
        self.pass_time()
        self.people_pay()
        self.post()
        orders = [self.draw_order(), self.draw_order()]
        for number, order in enumerate(orders):
            self.world.order(number, **order)
        answers = [worker.answer() for worker in self.world.workers]
        for order, answer in zip(orders, answers, strict=True):
            self.note(order, answer)
        self.check([each for answer in answers for each in surfaced(answer)])

    def note(self, order: dict[str, Any], answer: dict[str, Any]) -> None:
        plan = order.get("plan", {})
        place = " ".join(str(plan[name]) for name in ("kind", "point", "side", "hit") if plan.get(name))
        killed = bool(answer["killed_by"])
        self.told.append(f"{self.world.clock.at:%m-%d %H:%M} {order['act']} {'killed at ' + place if killed else 'done'}")
        if killed:
            self.tally.kills += 1
            self.tally.at[plan["kind"]] += 1

    def pass_time(self) -> None:
        """Mostly little; often past a lease; now and then to the next month, or past the life of Stripe's keys."""
        chance = self.draw.random()
        if chance < 0.10:
            self.world.clock.forward(seconds=A_MONTH.total_seconds() * self.draw.random())
        elif chance < 0.15:
            self.world.clock.forward(hours=25)
        elif chance < 0.75:
            self.world.clock.forward(seconds=LEASE_PASSED.total_seconds())
        else:
            self.world.clock.forward(seconds=self.draw.choice([0, 1, 20]))

    def people_pay(self) -> None:
        if self.draw.random() < 0.6:
            return
        payable = [each["id"] for each in self.world.stripe.objects("invoice") if each["status"] == "open"]
        if not payable:
            return
        act = self.draw.choice(["pay_invoice", "decline", "start_processing", "pay_invoice"])
        try:
            getattr(self.world.stripe.dashboard, act)(self.draw.choice(payable))
            self.told.append(act)
        except StripeFailure:
            return  # what Stripe refuses simply does not happen

    def post(self, *, everything: bool = False) -> None:
        """Let webhooks arrive: some are lost, some come twice, and in any order."""
        events = self.world.stripe.objects("event")
        for event in events[self.collected :]:
            copies = self.draw.choice([0, 1, 1, 1, 2, 3])
            self.under_way += [event] * copies
        self.collected = len(events)
        self.draw.shuffle(self.under_way)
        arriving = len(self.under_way) if everything else self.draw.randint(0, len(self.under_way))
        ring(self.world.stripe, self.world.clock.at, events=self.under_way[:arriving])
        del self.under_way[:arriving]

    # --- What is ordered ---
    def draw_order(self) -> dict[str, Any]:
        now = self.world.clock.at
        wishes = ["activate", "deactivate", "charge", "charge", "replay", "silence", "checkpoint", "canary"]
        if due_offices(now).exists():
            wishes += ["run"] * 8
        if waiting_messages(now).exists():
            wishes += ["deliver"] * 16
        if StripeEvent.objects.filter(status=EventStatus.PENDING, next_attempt_at__lte=now).exists():
            wishes += ["events"] * 8
        order: dict[str, Any] = {"act": self.draw.choice(wishes), "plan": self.draw_plan()}
        if order["act"] in {"activate", "deactivate"}:
            order["office"], order["patient"] = self.draw.choice(self.patients)
            if order["act"] == "activate" and self.draw.random() < 0.3:  # backdated, into a closed cycle as a rule
                order["activated_at"] = (now - timedelta(days=self.draw.randint(1, 60))).isoformat()
        if order["act"] == "charge":
            order["office"], order["cents"] = self.draw.choice(self.offices), self.draw.randint(100, 90_000)
        return order

    def draw_plan(self) -> dict[str, Any]:
        """Draw where the worker dies; every sixth lives."""
        kind = self.draw.choice(["none", "point", "point", "statement", "commit", "request", "moment"])
        side = self.draw.choice(["before", "after"])
        if kind == "none":
            return {}
        if kind == "point":
            return {"kind": kind, "point": str(self.draw.choice(list(FailPoint))), "hit": self.draw.randint(1, 3)}
        if kind == "request" and self.draw.random() < 0.5:
            side = "during"
        greatest = {"statement": 60, "commit": 12, "request": 6, "moment": 300}[kind]
        return {"kind": kind, "side": side, "hit": self.draw.randint(1, greatest)}

    # --- What must hold ---
    def check(self, errors: list[str]) -> None:
        """Ask the checker; news that is under way is no difference yet (I9)."""
        self.tally.checks += 1
        found = [each for each in violations(self.world.stripe) if each.invariant != "I9"]
        found += [Violation("no error", "a worker", each) for each in errors]
        found += protocol()
        if found:
            raise Broken(found, self.told)

    def settle(self) -> None:
        """Faults end; the sweeps go on until nothing waits; then nothing may be missing."""
        self.world.stripe.set_faults(enabled=False)
        errors: list[str] = []
        for _ in range(SETTLING_ROUNDS):
            self.world.clock.forward(hours=1)
            self.post(everything=True)
            for act in ("run", "deliver", "replay", "events", "silence", "checkpoint"):
                self.world.order(0, act)
                errors += surfaced(self.world.workers[0].answer())
            if not waits(self.world):
                break
        self.tally.checks += 1
        found = [*violations(self.world.stripe), *protocol(), *incomplete(self.world)]
        found += [Violation("no error", "a worker", each) for each in errors]
        if found:
            raise Broken(found, self.told)


def surfaced(answer: dict[str, Any]) -> list[str]:
    return [answer["error"]] if "error" in answer else []


def waits(world: World) -> bool:
    """Whether anything still has to happen by itself."""
    messages = OutboxMessage.objects.filter(status__in=[MessageStatus.PENDING, MessageStatus.LEASED])
    events = StripeEvent.objects.filter(status__in=[EventStatus.PENDING, EventStatus.QUARANTINED])
    return messages.exists() or events.exists() or due_offices(world.clock.at).exists()


def protocol() -> list[Violation]:
    """What must hold of the outbox at every moment: what is done stays done."""
    undone = OutboxMessage.objects.filter(done_at__isnull=False).exclude(status=MessageStatus.DONE)
    return [Violation("I8", str(pk), "was done, and is not any more") for pk in undone.values_list("pk", flat=True)]


def incomplete(world: World) -> list[Violation]:
    """What is missing once everything is at rest: a lost line, message or event, or an office that needs a person."""
    found = [Violation("I8", str(each.pk), f"still {each.status}") for each in OutboxMessage.objects.exclude(
        Q(status=MessageStatus.DONE) | Q(status=MessageStatus.DEAD, error_code="superseded"))]  # fmt: skip
    found += [Violation("I2", f"{each.pk}", "a cycle is over and not closed") for each in BillingCycle.objects.filter(
        closed_at__isnull=True, end_at__lte=world.clock.at)]  # fmt: skip
    unsent = Invoice.objects.filter(closed_at__isnull=False, status="draft")
    found += [Violation("I8", str(each.pk), "closed and never sent") for each in unsent.defer("internal_note")]
    parked = ParkedOffice.objects.filter(unparked_at__isnull=True)
    found += [Violation("no person", str(each.office_id), f"parked: {each.code}") for each in parked]
    waiting = StripeEvent.objects.filter(status__in=[EventStatus.PENDING, EventStatus.DEAD, EventStatus.QUARANTINED])
    found += [Violation("I9", each.event_id, f"event {each.event_type} {each.status}") for each in waiting]
    if is_found(world.stripe.all_bytes()):
        found.append(Violation("I12", "Stripe", "a patient's identity is in what was sent"))
    return found
