"""Random histories of one office, aimed at the edges: month ends, midnights that move, touching and late activity."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from tests.oracle import commands as c
from tests.oracle.acts import Flavour, Scene, next_act
from tests.oracle.commands import describe
from tests.oracle.ledger import Ledger
from tests.oracle.local_dates import last_day_of_month
from tests.oracle.moments import next_edge, next_instant
from tests.oracle.zones import MOVING_MIDNIGHTS, ZONES

__all__ = ["Flavour", "describe", "histories"]

MONTHS = ((2023, 12), (2024, 1), (2024, 2), (2024, 3), (2024, 8), (2025, 1), (2025, 2), (2025, 9))
STATUSES = ("active",) * 6 + ("trialing",) * 3 + ("inactive",)
PRICES = (200, 200, 200, 200, 175, 1, 0)


@st.composite
def anchors(draw: st.DrawFn, start: datetime) -> date:
    """Any day of the month, its end most of all, from a year before the start to two months after it."""
    day = draw(st.one_of(st.sampled_from((31, 30, 29, 28, 1)), st.integers(1, 31)))
    months = start.year * 12 + start.month - 1 + draw(st.integers(-14, 2))
    while last_day_of_month(months // 12, months % 12 + 1) < day:
        months -= 1
    return date(months // 12, months % 12 + 1, day)


@st.composite
def offices(draw: st.DrawFn) -> c.CreateOffice:
    status, price = draw(st.sampled_from(STATUSES)), draw(st.sampled_from(PRICES))
    if draw(st.integers(0, 3)) == 3:
        zone, anchor = draw(st.sampled_from(MOVING_MIDNIGHTS))
        at = datetime(anchor.year, anchor.month, anchor.day, 18, tzinfo=UTC)
        return c.CreateOffice(at, zone, anchor, status, price)
    zone, (year, month) = draw(st.sampled_from(ZONES)), draw(st.sampled_from(MONTHS))
    at = datetime(year, month, 1, tzinfo=UTC) + timedelta(minutes=draw(st.integers(0, 27 * 24 * 60)))
    return c.CreateOffice(at, zone, draw(anchors(at)), status, price)


@st.composite
def draw_history(draw: st.DrawFn, flavour: Flavour) -> c.History:
    """Command after command, the oracle itself keeping the state to aim with, until the months are over."""
    ledger, history = Ledger(), []

    def happen(command: c.Command) -> None:
        ledger.apply(command)
        history.append(command)

    first = draw(offices())
    happen(first)
    patients = tuple(f"p{number}" for number in range(1, draw(st.integers(1, flavour.patients)) + 1))
    number = draw(st.integers(flavour.least, flavour.most))
    stop_at = first.at + timedelta(days=30 * draw(st.integers(3, 8)))
    now = first.at + timedelta(seconds=1)
    while len(history) < number and now < stop_at:
        for command in next_act(Scene(draw, flavour, now, ledger.office, patients)):
            happen(command)
        now = next_instant(draw, ledger.office, now)
    settle(draw, ledger, now, happen)
    return tuple(history)


def settle(draw: st.DrawFn, ledger: Ledger, now: datetime, happen: Callable[[c.Command], None]) -> None:
    """Mostly the last open cycle is closed in the end, so that every history shows what it charges."""
    if draw(st.integers(0, 4)):
        happen(c.Run(max(now, next_edge(ledger.office, now))))


def histories(flavour: Flavour | None = None) -> st.SearchStrategy[c.History]:
    """Histories of 5 to 40 commands over 2 to 8 months by an increasing wall clock (a few share an instant)."""
    return draw_history(flavour or Flavour())
