"""What the harness says: one line a drill; on a terminal the progress too; in the end a report of what broke."""

import sys
import time
from collections.abc import Sequence

from tests.invariants import Violation

LAST_ACTS, MOST_ROWS = 15, 20


class Telling:
    """Writes to standard output; progress only where somebody watches."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._watched = sys.stdout.isatty()

    def progress(self, words: str) -> None:
        if self._watched:
            sys.stdout.write(f"\r\x1b[K{self._seconds()} {words}")
            sys.stdout.flush()

    def line(self, words: str) -> None:
        start = "\r\x1b[K" if self._watched else ""
        sys.stdout.write(f"{start}{self._seconds()} {words}\n")
        sys.stdout.flush()

    def report(self, drill: str, seed: int, replay: str, found: Sequence[Violation], told: Sequence[str]) -> None:
        """Name the seed, what was done last, the invariant and the rows."""
        self.line(f"BROKEN in {drill}, seed {seed}; replay with: {replay}")
        for act in told[-LAST_ACTS:]:
            self.line(f"    did    {act}")
        for each in found[:MOST_ROWS]:
            self.line(f"    broken {each.invariant}: {each.subject}: {each.what}")

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._started:5.0f} s"
