"""How the commands tell of breaks in the audit trail."""

from collections.abc import Sequence

from audit.breaks import Break
from billing.management.reporting import Problem

LARGEST_LIST = 100  # breaks printed; their number is always told


def as_problems(breaks: Sequence[Break]) -> list[Problem]:
    """Return a line for each of the first breaks: code, stream and position."""
    return [Problem(found.code, f"stream {found.stream}, position {found.seq}") for found in breaks[:LARGEST_LIST]]
