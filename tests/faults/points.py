"""Kill at every named fail point, by the scenes of the suite, and at every single place of a month end."""

import json
from collections.abc import Iterator
from typing import Any

from billing.fail_points import FailPoint
from billing.models import MessageStatus, OutboxMessage
from billing.run_chunk import due_offices
from tests.billing import test_correction_kills as corrections
from tests.billing import test_kills as kills
from tests.billing.scenes import CLOSED_AT, drain, hear
from tests.faults.kills import LEASE_PASSED
from tests.faults.must_hold import Broken, at_any_moment, surfaced
from tests.faults.telling import Telling
from tests.faults.worlds import CLOSED, DUE, EMPTY, Workshop, World
from tests.invariants import Violation, assert_invariants


def every_fail_point(shop: Workshop, seed: int, telling: Telling, *, every_hit: bool) -> str:
    """Kill at each named point, once or at each of its hits; the scenes say what must have come of it."""
    most = 99 if every_hit else 1
    killed, reached = 0, set()
    for act in kills.HITS:
        with shop.world(seed, EMPTY) as world:
            world.stripe.set_faults(enabled=False)
            for _ in _scenes_of_an_act(world, act, most):
                killed += 1
                telling.progress(f"fail points: {killed} kills")
        reached |= set(kills.HITS[act])
    for kind in corrections.HITS:
        with shop.world(seed, EMPTY) as world:
            world.stripe.set_faults(enabled=False)
            for _ in _scenes_of_a_correction(world, kind, most):
                killed += 1
                telling.progress(f"fail points: {killed} kills")
        reached |= set(corrections.HITS[kind])
    missing = set(FailPoint) - reached
    if missing:
        raise Broken([Violation("enumeration", each, "was never killed") for each in sorted(missing)], [])
    return f"{killed} kills at all {len(reached)} named fail points"


def _scenes_of_an_act(world: World, act: str, most: int) -> Iterator[None]:
    scenes = []
    for each, point, hit in kills.EVERY_KILL:
        if each != act or hit > most:
            continue
        scene = kills.Scene(world.stripe, world.workers[0], act)
        world.workers[0].kill(act, scene.clock.at, point, hit)
        scene.start_again()
        scenes.append(scene)
        yield
    kills.finish(scenes)


def _scenes_of_a_correction(world: World, kind: str, most: int) -> Iterator[None]:
    scenes = []
    for point, hit in (each for each in corrections.KILLS[kind] if each[1] <= most):
        scene = corrections.Scene(world.stripe, kind)
        world.workers[0].kill("deliver", scene.clock.at, point, hit)
        scene.clock.forward(minutes=6)
        drain(scene.clock)
        scenes.append(scene)
        yield
    hear(world.stripe, scenes[-1].clock)
    for scene in scenes:
        scene.check()
    assert_invariants(world.stripe)


def every_place(shop: Workshop, seed: int, stride: int, telling: Telling) -> str:
    """Kill a month end before and after each SQL statement, commit and call of Stripe, and let it start again."""
    done = 0
    for act, template in (("run", DUE), ("deliver", CLOSED)):
        for plan in _places(shop, seed, act, template)[seed % stride :: stride]:
            with shop.world(seed, template) as world:
                _killed_there(world, act, plan)
            done += 1
            telling.progress(f"places: {done} kills, {act} {plan['kind']} {plan['hit']} {plan['side']}")
    return f"{done} kills before and after statements, commits and calls of Stripe of a month end (every {stride}.)"


def _places(shop: Workshop, seed: int, act: str, template: str) -> list[dict[str, Any]]:
    with shop.world(seed, template) as world:
        world.stripe.set_faults(enabled=False)
        world.clock.forward(seconds=(CLOSED_AT - world.clock.at).total_seconds())
        world.order(0, act)
        counts = json.loads(world.workers[0].answer()["counts"])
    sides = {
        "statement": ("before", "after"),
        "commit": ("before", "after", "lost"),
        "request": ("before", "after"),
        "write": ("during",),
    }
    return [
        {"kind": kind, "side": side, "hit": hit}
        for kind in sides
        for hit in range(1, counts.get(kind, 0) + 1)
        for side in sides[kind]
    ]


def _killed_there(world: World, act: str, plan: dict[str, Any]) -> None:
    world.stripe.set_faults(enabled=False)
    world.clock.forward(seconds=(CLOSED_AT - world.clock.at).total_seconds())
    world.order(0, act, plan=plan)
    answer = world.workers[0].answer()
    told = [f"{act} ended at {plan}"]
    found = at_any_moment(world)
    if not answer["killed_by"] and plan["side"] != "lost":
        found.append(Violation("enumeration", act, f"nobody died at {plan}"))
    for _ in range(4):  # its customer first, and one retry for a key that is in flight
        world.clock.forward(seconds=LEASE_PASSED.total_seconds())
        world.order(1, act)
        found += [Violation("no error", act, each) for each in surfaced(world.workers[1].answer())]
        world.stripe.call("release")
    found += at_any_moment(world)
    unsent = OutboxMessage.objects.exclude(status=MessageStatus.DONE)
    if due_offices(CLOSED_AT).exists() or (act == "deliver" and unsent.exists()):
        found.append(Violation("I8", act, "what was due is not done"))
    if found:
        raise Broken(found, told)
