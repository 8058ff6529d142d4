"""Random kills: two workers at work, each dying somewhere, Stripe faulty, webhooks lost and doubled, time jumping."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billing.correction_rules import CorrectionRefused
from billing.models import CorrectionKind as K
from billing.models import Invoice
from sandbox.stripe_standin.errors import StripeFailure
from tests.billing.correction_scenes import agreed, paid_back, wish
from tests.billing.scenes import ring
from tests.faults.draws import Draws, Order, slow
from tests.faults.must_hold import Broken, at_any_moment, at_rest, surfaced, unsealed, waits
from tests.faults.worlds import World
from tests.invariants import Violation

LEASE_PASSED = timedelta(minutes=6)
A_MONTH = timedelta(days=31)
ROUNDS_FOR_A_KILL = 8  # at most, on average; a world that kills nobody any more is left
SETTLING_ROUNDS = 60
CONTINUED_WITHIN = 60.0  # seconds: what a person may not be needed for (reliability.md)


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
        self.world, self.source, self.wanted = world, world.draw, wanted
        self.draws = Draws(world.draw)
        self.tally = Tally()
        self.told: list[str] = []
        self.collected = 0
        self.under_way: list[dict[str, Any]] = []

    def live(self) -> Tally:
        """Kill, and check after each; then let everything come to rest, and check all of it."""
        for _ in range(self.wanted * ROUNDS_FOR_A_KILL):
            if self.tally.kills >= self.wanted:
                break
            self.one_round()
        self.settle()
        return self.tally

    # --- One round ---
    def one_round(self) -> None:
        self.pass_time()
        self.people_pay()
        self.somebody_corrects()
        self.post()
        chance = self.source.random()
        if chance < 0.10:
            errors = self.one_stands_still()
        elif chance < 0.20:
            errors = self.twins()
        elif chance < 0.30:
            errors = self.one_dies_while_stripe_works()
        elif chance < 0.36:
            errors = self.late_news_of_a_closed_month()
        elif chance < 0.42:
            errors = self.checkpoint_while_somebody_writes()
        else:
            errors = self.at_once(self.draws.order(self.world.clock.at), self.draws.order(self.world.clock.at))
        self.check(errors)

    def at_once(self, *orders: Order) -> list[str]:
        """Give each worker an order, and return the errors that came to light."""
        for number, order in enumerate(orders):
            self.world.order(number, **order)
        answers = [worker.answer() for worker, _order in zip(self.world.workers, orders, strict=False)]
        for order, answer in zip(orders, answers, strict=True):
            self.note(order, answer)
        return [error for answer in answers for error in surfaced(answer)]

    def one_stands_still(self) -> list[str]:
        """A worker stops longer than its lease; another one does its work; then it goes on."""
        act = self.source.choice(["deliver", "deliver", "deliver", "events"])
        self.check(self.single(1, self.draws.order_of("charge", self.world.clock.at)))
        self.world.order(0, act, plan=self.draws.standstill(act))
        answer = self.world.workers[0].answer()
        if not answer.get("stopped"):
            return surfaced(answer)
        self.told.append(f"{act} stands still")
        self.world.clock.forward(seconds=LEASE_PASSED.total_seconds())
        plan = self.draws.plan(act) if self.source.random() < 0.5 else {}
        errors = self.single(1, self.draws.order_of(act, self.world.clock.at) | {"plan": plan})
        self.check(errors)
        self.world.order(0, "go_on")
        self.told.append("goes on")
        return surfaced(self.world.workers[0].answer())

    def one_dies_while_stripe_works(self) -> list[str]:
        """A write is under way when its worker dies; another one comes, and only then Stripe acts on the first."""
        errors = self.single(1, self.draws.order_of("charge", self.world.clock.at))
        errors += self.single(0, {"act": "deliver", "plan": self.draws.in_flight()})
        self.world.clock.forward(seconds=LEASE_PASSED.total_seconds())
        errors += self.single(1, {"act": "deliver"})
        self.world.stripe.call("release")
        return errors + self.single(1, {"act": "events"})

    def twins(self) -> list[str]:
        """Two workers do the very same at the same time, both slowly."""
        act = self.source.choice(["activate", "charge", "run", "deliver", "events"])
        order = self.draws.order_of(act, self.world.clock.at)
        other = order
        if act == "charge":  # and another way into the same office
            patient = self.draws.order_of("activate", self.world.clock.at)
            other, order = patient, order | {"office": patient["office"]}
        return self.at_once(
            order | {"plan": slow(self.source.randint(1, 12))}, other | {"plan": slow(self.source.randint(1, 12))}
        )

    def late_news_of_a_closed_month(self) -> list[str]:
        """A month has just been closed when two accounts turn out to have been active in it."""
        self.world.clock.forward(seconds=A_MONTH.total_seconds())
        errors = self.single(0, {"act": "run"})
        now = self.world.clock.at
        late = [self.draws.order_of("activate", now) | self.draws.backdated(now, 25 + each) for each in (0, 10)]
        return errors + self.at_once(*late)

    def checkpoint_while_somebody_writes(self) -> list[str]:
        """A writer is slow to commit, another one is faster, and a checkpoint is made in between."""
        first = self.draws.order_of("charge", self.world.clock.at)
        others = [office for office in self.draws.offices if office != first["office"]]
        second = first | {"office": self.source.choice(others)}
        self.world.order(0, **first, plan={"kind": "commit", "side": "before", "hit": 1, "end": "linger"})
        errors = self.single(1, second) + self.single(1, {"act": "checkpoint"})
        errors += surfaced(self.world.workers[0].answer()) + self.single(1, {"act": "checkpoint"})
        return errors + [f"{each.subject} {each.what}" for each in unsealed()]

    def single(self, worker: int, order: Order) -> list[str]:
        self.world.order(worker, **order)
        answer = self.world.workers[worker].answer()
        self.note(order, answer)
        return surfaced(answer)

    def note(self, order: Order, answer: dict[str, Any]) -> None:
        plan = order.get("plan", {})
        place = " ".join(str(plan[name]) for name in ("kind", "point", "side", "hit") if plan.get(name))
        killed = bool(answer["killed_by"])
        end = f"killed at {place}" if killed else answer.get("error") or answer.get("refused") or "done"
        self.told.append(f"{self.world.clock.at:%m-%d %H:%M:%S} {order['act']} {end}")
        if killed:
            self.tally.kills += 1
            self.tally.at[plan["kind"]] += 1

    # --- What goes on around them ---
    def pass_time(self) -> None:
        """Mostly little; often past a lease; now and then to the next month, or past the life of Stripe's keys."""
        chance = self.source.random()
        leap = A_MONTH.total_seconds() * self.source.random() if chance < 0.10 else 25 * 3600.0
        if chance < 0.15:
            self.world.clock.forward(seconds=leap)
        elif chance < 0.65:
            self.world.clock.forward(seconds=LEASE_PASSED.total_seconds())
        else:
            self.world.clock.forward(seconds=self.source.choice([0, 0, 1, 20]))

    def people_pay(self) -> None:
        if self.source.random() < 0.4:
            return
        payable = [each["id"] for each in self.world.stripe.objects("invoice") if each["status"] == "open"]
        act = self.source.choice(["pay_invoice", "decline", "start_processing", "pay_invoice"])
        if not payable:
            return
        try:
            getattr(self.world.stripe.dashboard, act)(self.source.choice(payable))
            self.told.append(act)
        except StripeFailure:
            return  # what Stripe refuses simply does not happen

    def somebody_corrects(self) -> None:
        """Two people agree to cancel, replace, credit, write off or take a check; a worker carries it out."""
        if self.source.random() < 0.92:
            return
        sent = list(Invoice.objects.filter(status__in=["sent", "failed", "paid"], total_cents__gt=0).order_by("pk"))
        if not sent:
            return
        invoice = self.source.choice(sent)
        amounts = {K.CREDIT: 100, K.OFFLINE_PAYMENT: invoice.total_cents}
        kind = self.source.choice([K.CANCEL, K.REPLACE, K.CREDIT, K.WRITE_OFF, K.OFFLINE_PAYMENT])
        what = wish(kind, amount_cents=amounts.get(kind))
        if invoice.status == "paid":
            what = paid_back(amount=100)
        try:
            agreed(invoice, what, now=self.world.clock.at)
            self.told.append(f"agreed on {what.kind}")
        except CorrectionRefused:
            return  # for this invoice, as it is, nobody may

    def post(self, *, everything: bool = False) -> None:
        """Let webhooks arrive: some are lost, some come twice, and in any order."""
        events = self.world.stripe.objects("event")
        for event in events[self.collected :]:
            self.under_way += [event] * self.source.choice([0, 1, 1, 1, 2, 3])
        self.collected = len(events)
        self.source.shuffle(self.under_way)
        arriving = len(self.under_way) if everything else self.source.randint(0, len(self.under_way))
        ring(self.world.stripe, self.world.clock.at, events=self.under_way[:arriving])
        del self.under_way[:arriving]

    # --- What must hold ---
    def check(self, errors: list[str]) -> None:
        self.tally.checks += 1
        self._judge(at_any_moment(self.world), errors)

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
        self._judge(at_rest(self.world), errors)

    def _judge(self, found: list[Violation], errors: list[str]) -> None:
        found = found + [Violation("no error", "a worker", each) for each in errors]
        if found:
            raise Broken(found, self.told)
