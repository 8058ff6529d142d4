"""The doorbell: after a commit, tell the workers that something waits.

A port: `tasks.py` hangs the bells up when the apps are ready. Without a broker there are none, and what waits is
drained by `deliver_outbox` and `process_stripe_events`. A lost ring loses nothing: a sweep finds the rows.
"""

from collections.abc import Callable
from enum import StrEnum

from django.db import transaction


class Bell(StrEnum):
    """What may be waiting."""

    OUTBOX = "outbox"
    STRIPE_EVENTS = "stripe_events"
    COMPARISONS = "comparisons"
    RUNS = "runs"


_bells: dict[Bell, Callable[[], None]] = {}


def hang(bell: Bell, ring: Callable[[], None]) -> None:
    """Set what happens when this bell rings."""
    _bells[bell] = ring


def is_hung(bell: Bell) -> bool:
    """Tell whether a worker hears this bell."""
    return bell in _bells


def ring_after_commit(bell: Bell) -> None:
    """Ring once the present transaction has committed; a failing bell is no failure of the use case."""
    ring = _bells.get(bell)
    if ring is not None:
        transaction.on_commit(ring, robust=True)
