"""Many at once: one patient activated by everybody, everything mixed, and events in any order, three times each."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

from django.db import connection

from billing.activation import ActivationResult, PeriodEmpty, PeriodsOverlap, activate_patient, deactivate_patient
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.delivery import deliver_due
from billing.models import ChargeReason, EventStatus, Invoice, LineItem, StripeEvent
from billing.stripe_events import process_due
from offices.locking import OfficeBusy
from offices.models import Office
from patients.models import Patient
from sandbox.stripe_standin.errors import StripeFailure
from tests.billing.scenes import CLOSED_AT, at_once, drain, ring
from tests.builders import ACTOR, make_patient
from tests.faults.must_hold import Broken, deadlocks
from tests.faults.telling import Telling
from tests.faults.worlds import CLOSED, DUE, Workshop, World
from tests.invariants import Violation, violations

CONNECTIONS = 50  # decisions.md 39
BATCH = 500  # calls between two lines of progress
COPIES = 3


def one_patient(shop: Workshop, seed: int, calls: int, telling: Telling) -> str:
    """Activate one patient account from fifty connections: one line, and nobody sees an error."""
    with shop.world(seed, DUE) as world:
        office = Office.objects.order_by("reference").first()
        patient = make_patient(office)

        def activate() -> ActivationResult:
            return activate_patient(office_id=office.pk, patient_id=patient.pk, actor=ACTOR, now=world.clock.at)

        results: list[Any] = []
        while len(results) < calls:
            results += at_once([activate] * min(BATCH, calls - len(results)), connections=CONNECTIONS)
            telling.progress(f"one patient: {len(results)} activations")
        errors = Counter(type(each).__name__ for each in results if isinstance(each, Exception))
        lines = LineItem.objects.filter(patient_reference=patient.pk).count()
        found = [Violation("no error", name, f"{number} times") for name, number in errors.items()]
        if lines != 1 or sum(each.changed for each in results if isinstance(each, ActivationResult)) != 1:
            found.append(Violation("I1", str(patient.pk), f"{lines} lines"))
        _judge(world, found)
    return f"{calls} activations of one patient over {CONNECTIONS} connections: {lines} line, 0 errors"


def mixed(shop: Workshop, seed: int, calls: int, telling: Telling) -> str:
    """Everything that a portal, a console, workers and a beat do, at once: no deadlock comes to light."""
    with shop.world(seed, DUE) as world:
        world.stripe.set_faults(enabled=False)
        results: list[Any] = []
        while len(results) < calls:
            acts = [_some_act(world) for _ in range(min(100, calls - len(results)))]
            results += at_once(acts, connections=16)
            world.clock.forward(hours=world.draw.choice([0, 1, 26, 200]))
            telling.progress(f"mixed: {len(results)} operations")
        named = Counter(type(each).__name__ for each in results if isinstance(each, Exception))
        told = {name: number for name, number in named.items() if name in _REFUSALS}
        found = [Violation("no error", name, f"{number} times") for name, number in named.items() if name not in told]
        _judge(world, found)
        broken = deadlocks(world)
    busy = told.get("OfficeBusy", 0)
    return f"{calls} mixed operations over 16 connections: {broken} deadlocks, 0 errors, {busy} told to come again"


_REFUSALS = {each.__name__ for each in (OfficeBusy, PeriodsOverlap, PeriodEmpty)}


def _some_act(world: World) -> Any:
    draw, now = world.draw, world.clock.at
    office, patient = draw.choice(list(Patient.objects.values_list("office", "pk")))
    who = {"office_id": office, "patient_id": patient, "actor": ACTOR, "now": now}
    at = now - timedelta(days=draw.randint(0, 40))
    charge = Charge(ChargeReason.TRAINING, amount_cents=draw.randint(100, 9_000))
    return draw.choice(
        [
            lambda: activate_patient(**who),
            lambda: activate_patient(**who, activated_at=at),
            lambda: deactivate_patient(**who),
            lambda: charge_office(office_id=office, charge=charge, actor=ACTOR, now=now),
            lambda: run_due(as_of=now, actor=ACTOR, now=now),
            lambda: deliver_due(clock=lambda: now, limit=3),
            lambda: process_due(clock=lambda: now),
        ]
    )


def shuffled_events(shop: Workshop, seed: int, arrivals: int, telling: Telling) -> str:
    """Let every event arrive three times, in any order, while two workers work through them: Stripe's state wins."""
    with shop.world(seed, CLOSED) as world:
        world.stripe.set_faults(enabled=False)
        world.clock.forward(seconds=(CLOSED_AT - world.clock.at).total_seconds())
        drain(world.clock)
        while COPIES * len(world.stripe.objects("event")) < arrivals:
            _an_invoice_and_what_becomes_of_it(world)
            telling.progress(f"events: {len(world.stripe.objects('event'))} happened")
        storm = world.stripe.objects("event") * COPIES
        world.draw.shuffle(storm)
        _let_arrive(world, storm, telling)
        _judge(world, [*violations(world.stripe), *_other_states(world)])
        done = Counter(StripeEvent.objects.values_list("status", flat=True))
    return f"{len(storm)} shuffled arrivals of {len(storm) // COPIES} events: every state is Stripe's ({dict(done)})"


def _an_invoice_and_what_becomes_of_it(world: World) -> None:
    offices = list(Office.objects.order_by("reference").values_list("pk", flat=True))
    charge = Charge(ChargeReason.TRAINING, amount_cents=world.draw.randint(100, 90_000))
    for office in offices:
        charge_office(office_id=office, charge=charge, actor=ACTOR, now=world.clock.at)
    drain(world.clock)
    for invoice in [each for each in world.stripe.objects("invoice") if each["status"] == "open"][-len(offices) :]:
        for act in world.draw.choices(["decline", "start_processing"], k=world.draw.randint(1, 8)):
            getattr(world.stripe.dashboard, act)(invoice["id"])
        end = world.draw.choice(["pay_invoice", "pay_invoice", "void", "mark_uncollectible", "dispute", "refund"])
        try:
            if end in {"dispute", "refund"}:
                world.stripe.dashboard.pay_invoice(invoice["id"])
            getattr(world.stripe.dashboard, end)(invoice["id"])
        except StripeFailure:
            continue


def _let_arrive(world: World, storm: list[dict[str, Any]], telling: Telling) -> None:
    for start in range(0, len(storm), BATCH):
        for number in (0, 1):
            world.order(number, "events")
        ring(world.stripe, world.clock.at, events=storm[start : start + BATCH])
        for worker in world.workers:
            worker.answer()
        world.clock.forward(seconds=world.draw.choice([0, 20, 3_600]))
        telling.progress(f"events: {start + BATCH} arrived")
    for _ in range(4):  # what was tried again later
        world.clock.forward(hours=7)
        world.order(0, "events")
        world.workers[0].answer()


def _other_states(world: World) -> list[Violation]:
    """Compare each invoice with what Stripe says of it in the end."""
    said = {"open": {"sent", "failed"}, "paid": {"paid"}, "void": {"canceled"}, "uncollectible": {"failed"}}
    found = []
    for each in world.stripe.objects("invoice"):
        status = Invoice.objects.values_list("status", flat=True).get(stripe_invoice_id=each["id"])
        if status not in said[each["status"]]:
            found.append(Violation("I9", each["id"], f"{each['status']} at Stripe, {status} here"))
        if each["status"] == "open" and (status == "failed") != (each["attempt_count"] > 0):
            found.append(Violation("I9", each["id"], f"{each['attempt_count']} attempts at Stripe, {status} here"))
    waiting = StripeEvent.objects.exclude(status__in=[EventStatus.DONE, EventStatus.IGNORED])
    return found + [Violation("I9", each.event_id, f"{each.event_type} is {each.status}") for each in waiting]


def _judge(world: World, found: list[Violation]) -> None:
    connection.ensure_connection()
    found = [*found, *violations()]
    if deadlocks(world):
        found.append(Violation("no deadlock", world.name, f"{deadlocks(world)} broken by PostgreSQL"))
    if found:
        raise Broken(found, [])


def seeded(seed: int, name: str) -> int:
    """Return the seed of a drill: drills do not share draws, so that one alone does the same as among the others."""
    return random.Random(f"{seed} {name}").randrange(10**6)
