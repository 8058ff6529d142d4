"""Named places where a process may be killed to see that nothing is lost.

In the product `reach` does nothing. A fault test installs a hook that ends the process at a chosen name; every
name is listed here, so that a harness can enumerate them (reliability.md, "What must hold when things break").
"""

from collections.abc import Callable
from enum import StrEnum


class FailPoint(StrEnum):
    """The seams between the steps that a crash could tear apart."""

    RUN_CHUNK_LOCKED = "run.chunk_locked"
    RUN_LINES_INSERTED = "run.lines_inserted"
    RUN_INVOICES_CLOSED = "run.invoices_closed"
    RUN_MESSAGES_QUEUED = "run.messages_queued"
    RUN_CHUNK_COMMITTED = "run.chunk_committed"
    DELIVERY_LEASED = "delivery.leased"
    DELIVERY_STEP_RECORDED = "delivery.step_recorded"
    DELIVERY_STEP_SENT = "delivery.step_sent"
    DELIVERY_STEP_DONE = "delivery.step_done"
    DELIVERY_MESSAGE_DONE = "delivery.message_done"
    CORRECTION_APPLIED = "correction.applied"
    CORRECTION_LINES_COPIED = "correction.lines_copied"
    CORRECTION_ENDED = "correction.ended"
    EVENTS_CLAIMED = "events.claimed"
    EVENTS_FETCHED = "events.fetched"
    EVENTS_APPLIED = "events.applied"


_hook: Callable[[FailPoint], None] | None = None


def reach(point: FailPoint) -> None:
    """Say that this seam is reached; does nothing unless a fault test installed a hook."""
    if _hook is not None:
        _hook(point)


def install(hook: Callable[[FailPoint], None] | None) -> None:
    """Install a hook for every seam, or remove it with None. For fault tests only."""
    global _hook  # noqa: PLW0603 - one hook per process, set by a test before anything runs
    _hook = hook
