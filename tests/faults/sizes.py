"""How much of each drill: a sample for every change, the full numbers by hand (decisions.md 38)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The numbers of one tier. A stride of n takes every n-th place."""

    every_hit: bool
    places_stride: int
    kills: int
    kills_in_a_world: int
    restarts: int
    events: int
    activations: int
    mixed: int
    each_fault_alone: bool
    planted: int


# With the points and the places about a hundred kills, in less than five minutes on two cores.
QUICK = Size(
    every_hit=False, places_stride=60, kills=60, kills_in_a_world=30, restarts=3, events=300, activations=500,
    mixed=100, each_fault_alone=False, planted=1,
)  # fmt: skip
FULL = Size(
    every_hit=True, places_stride=1, kills=1_000, kills_in_a_world=50, restarts=50, events=10_000, activations=10_000,
    mixed=3_000, each_fault_alone=True, planted=99,
)  # fmt: skip
