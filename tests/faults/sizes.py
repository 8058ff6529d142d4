"""How much of each drill: a sample for every change, the full numbers by hand (decisions.md 38)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The numbers of one tier; a stride of n takes every n-th place."""

    kills: int
    kills_in_a_world: int
    restarts: int
    places_stride: int
    events: int
    activations: int
    mixed: int
    planted: int
    machines: int


QUICK = Size(
    kills=100, kills_in_a_world=25, restarts=5, places_stride=12, events=600, activations=1_000, mixed=200, planted=3,
    machines=1,
)  # fmt: skip
FULL = Size(
    kills=1_000, kills_in_a_world=40, restarts=50, places_stride=1, events=10_000, activations=10_000, mixed=3_000,
    planted=99, machines=3,
)  # fmt: skip
