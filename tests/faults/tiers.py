"""The drills of a tier, one after the other; the first that breaks something ends its drill, not the tier."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

from django.db import connection

from tests.faults import crowds, machines, points
from tests.faults.hunts import AT_MOST, Hunt, hunt_all
from tests.faults.kills import KillRun, Tally
from tests.faults.must_hold import Broken
from tests.faults.planted import BUGS
from tests.faults.restarts import RestartRun
from tests.faults.services import Cluster, Redis
from tests.faults.sizes import Size
from tests.faults.telling import Telling
from tests.faults.worlds import Workshop, prepare, workshop
from tests.invariants import Violation

RESTARTS_IN_A_WORLD = 10
Drill = Callable[[Workshop, int, Size, Telling], str]


def run(cluster: Cluster, redis: Redis, options: argparse.Namespace, seed: int) -> int:
    """Run the tier and return the exit code."""
    telling = Telling()
    telling.line(f"seed {seed}")
    prepare(cluster)
    broken = 0
    size = options.size if options.kills is None else replace(options.size, kills=options.kills)
    with workshop(cluster) as shop:
        shop.redis = redis
        if options.planted:
            return _hunt(shop, seed, telling, options.bug)
        for name, drill in DRILLS.items():
            if options.only and name not in options.only:
                continue
            broken += not _held(name, drill, shop, seed, size, telling, options)
    telling.line(f"seed {seed}: " + (f"{broken} drills broke something" if broken else "everything held"))
    return 1 if broken else 0


def _held(
    name: str, drill: Drill, shop: Workshop, seed: int, size: Size, telling: Telling, options: argparse.Namespace
) -> bool:
    try:
        telling.line(f"{name}: {drill(shop, crowds.seeded(seed, name), size, telling)}")
    except Broken as error:
        found, told = error.found, error.told
    except AssertionError as error:
        found, told = [Violation("assertion", name, " ".join(str(error).split())[:2_000])], []
    except Exception as error:  # noqa: BLE001 - a harness that fails must say so, and the other drills go on
        sys.excepthook(type(error), error, error.__traceback__)
        found, told = [Violation("harness", name, f"{type(error).__name__}: {error}")], []
    else:
        return True
    tier = "--full " if size.kills >= 1_000 else ""
    kills = f" --kills {options.kills}" if options.kills else ""
    telling.report(name, seed, f"bin/faults {tier}--seed {seed} --only {name}{kills}", found, told)
    connection.close()
    return False


# --- The drills ---
def _kills(shop: Workshop, seed: int, size: Size, telling: Telling) -> str:
    total, worlds = Tally(), 0
    while total.kills < size.kills:
        with shop.world(seed + worlds) as world:
            run_in_it = KillRun(world, min(size.kills_in_a_world, size.kills - total.kills))
            total.add(run_in_it.live())
        worlds += 1
        telling.progress(f"kills: {total.kills} of {size.kills}")
    places = ", ".join(f"{number} at a {kind}" for kind, number in total.at.most_common())
    held = f"{total.checks} checks: nothing doubled, nothing lost"
    return f"{total.kills} random kills ({places}) in {worlds} worlds, {held}"


def _restarts(shop: Workshop, seed: int, size: Size, telling: Telling) -> str:
    total, worlds = Tally(), 0
    while total.kills < size.restarts:
        with shop.world(seed + worlds) as world:
            total.add(RestartRun(world, min(RESTARTS_IN_A_WORLD, size.restarts - total.kills)).live())
        worlds += 1
        telling.progress(f"restarts: {total.kills} of {size.restarts}")
    return f"{total.kills} immediate restarts of PostgreSQL under two workers, {total.checks} checks: the same"


def _planted(shop: Workshop, seed: int, size: Size, telling: Telling) -> str:
    chosen = tuple(BUGS[(seed + number) % len(BUGS)] for number in range(min(size.planted, len(BUGS))))
    hunts = hunt_all(shop, seed, chosen, tell=lambda done: telling.progress(_words(done)))
    lost = [Violation("planted", each.bug.name, f"not found in {each.kills} kills") for each in hunts if not each.found]
    if lost:
        raise Broken(lost, [])
    return "; ".join(f"{each.bug.name} after {each.kills}" for each in hunts)


DRILLS: dict[str, Drill] = {
    "points": lambda shop, seed, size, telling: points.every_fail_point(shop, seed, telling, every_hit=size.every_hit),
    "places": lambda shop, seed, size, telling: points.every_place(shop, seed, size.places_stride, telling),
    "kills": _kills,
    "restarts": _restarts,
    "events": lambda shop, seed, size, telling: crowds.shuffled_events(shop, seed, size.events, telling),
    "activations": lambda shop, seed, size, telling: crowds.one_patient(shop, seed, size.activations, telling),
    "mixed": lambda shop, seed, size, telling: crowds.mixed(shop, seed, size.mixed, telling),
    "machines": lambda shop, seed, size, telling: machines.everything_runs(
        shop, seed, telling, each_alone=size.each_fault_alone
    ),
    "planted": _planted,
}


def _hunt(shop: Workshop, seed: int, telling: Telling, names: list[str] | None) -> int:
    """Hunt all bugs, or the named ones, and print the table of docs/reliability.md."""
    bugs = tuple(bug for bug in BUGS if not names or bug.name in names)
    hunts = hunt_all(shop, seed, bugs, tell=lambda done: telling.line(_words(done)))
    telling.line(f"found {sum(each.found for each in hunts)} of {len(hunts)} within {AT_MOST} kills each; as a table:")
    for each in hunts:
        after = f"{each.kills}" if each.found else "not found"
        print(f"| {each.bug.name} | {each.bug.words} | {after} | {each.by} |")  # noqa: T201 - to be copied
    return 0 if all(each.found for each in hunts) else 1


def _words(done: Hunt) -> str:
    what = f"found after {done.kills} kills ({done.by})" if done.found else f"NOT found in {done.kills} kills"
    return f"planted: {done.bug.name}: {what}; seed {done.seed}"
