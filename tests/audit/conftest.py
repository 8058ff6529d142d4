"""Streams to tamper with."""

import pytest
from django.db import transaction

from audit.chain import Fact, record
from tests.builders import utc

NOW = utc("2026-03-01T12:00")


def tell(stream: str, *actions: str, actor: str = "staff:7") -> None:
    """Record one entry for each action."""
    for number, action in enumerate(actions):
        with transaction.atomic():
            record(Fact(stream, action, {"number": number, "live": True, "note": None}), actor=actor, now=NOW)


@pytest.fixture
def streams() -> list[str]:
    """Two streams of five entries each, written in turns."""
    names = ["office:clinic-1", "office:clinic-2"]
    for action in ("a.opened", "b.changed", "c.changed", "d.changed", "e.closed"):
        for name in names:
            tell(name, action)
    return names
