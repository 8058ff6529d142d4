"""Hunt planted bugs: random kills, the same as for the product, until the checker says something."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.kills import KillRun
from tests.faults.must_hold import Broken
from tests.faults.planted import BUGS, Bug
from tests.faults.worlds import Workshop

AT_MOST = 200  # kills until a bug must be found
KILLS_IN_A_WORLD = 20


@dataclass(frozen=True)
class Hunt:
    """What became of one bug: after how many kills it was found, and what gave it away."""

    bug: Bug
    found: bool
    kills: int
    seed: int
    by: str


def hunt(shop: Workshop, bug: Bug, seed: int) -> Hunt:
    """Plant the bug in the workers and in the database of each world, and stop at the first find."""
    sources, kills, number = bug.sources(), 0, 0
    while kills < AT_MOST:
        number += 1
        with shop.world(seed * 1_000 + number) as world:
            world.sources = sources
            for statement in bug.dropped:
                world.cluster.sql(statement, world.name)
            run = KillRun(world, min(KILLS_IN_A_WORLD, AT_MOST - kills))
            try:
                run.live()
            except Broken as broken:
                first = broken.found[0]
                by = f"{first.invariant}: {first.what}"
                return Hunt(bug, found=True, kills=kills + run.tally.kills, seed=world.seed, by=by)
            kills += run.tally.kills
    return Hunt(bug, found=False, kills=kills, seed=seed, by="")


def hunt_all(shop: Workshop, seed: int, bugs: tuple[Bug, ...] = BUGS, *, tell: Callable[[Hunt], None]) -> list[Hunt]:
    hunts = []
    for bug in bugs:
        done = hunt(shop, bug, seed * 100 + BUGS.index(bug))
        tell(done)
        hunts.append(done)
    return hunts
