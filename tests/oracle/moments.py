"""Instants worth a try: cycle edges to the microsecond, the ends of known activity, and any time between."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.oracle.office import Office

SECOND = timedelta(seconds=1)
AROUND_AN_EDGE = (timedelta(0), timedelta(0), timedelta(0), -SECOND, SECOND, -timedelta(microseconds=1))


def next_instant(draw: st.DrawFn, office: Office, now: datetime) -> datetime:
    """A later wall clock: soon, some days on, at the next cycle edge, or after a missed cycle or two."""
    long_waits = 1 if office.is_live_at(now) else 6  # a gap shows only when a whole cycle passes in it
    step = draw(st.sampled_from(("days",) * 6 + ("edge",) * 4 + ("soon",) * 4 + ("months",) * long_waits))
    if step == "soon":
        return now + timedelta(seconds=draw(st.integers(1, 6 * 3600)))
    if step == "days":
        return now + timedelta(minutes=draw(st.integers(60, 9 * 24 * 60)))
    if step == "edge":
        return max(now + SECOND, next_edge(office, now) + draw(st.sampled_from(AROUND_AN_EDGE)))
    return now + timedelta(days=draw(st.integers(27, 75)))


def next_edge(office: Office, now: datetime) -> datetime:
    return office.ends_at(office.index_at(now))


def past_instant(draw: st.DrawFn, office: Office, now: datetime) -> datetime:
    """An instant up to `now`: any of the last months, a cycle edge, or where known activity starts or ends."""
    kind = draw(st.sampled_from(("any", "any", "edge", "edge", "edge", "known")))
    known = [edge for edge in activity_edges(office) if edge <= now]
    if kind == "known" and known:
        return draw(st.sampled_from(known))
    if kind == "edge":
        index = office.index_at(now) - draw(st.integers(0, 3))
        return min(now, office.starts_at(index) + draw(st.sampled_from(AROUND_AN_EDGE)))
    return now - timedelta(minutes=draw(st.integers(1, 100 * 24 * 60)))


def activity_edges(office: Office) -> list[datetime]:
    """Every instant at which a known period starts or ends, each once."""
    periods = [period for periods in office.patients.values() for period in periods]
    edges = {period.activated_at for period in periods} | {period.end for period in periods}
    return sorted(edges)


def first_day_not_begun(office: Office, now: datetime) -> date:
    """The first local date whose terms nobody can have used yet."""
    today = now.astimezone(ZoneInfo(office.zone_at(now))).date()
    started = [cycle.start_date for cycle in office.cycles.values()]
    current = office.start_date_of(office.index_at(now))
    return max([today, current, *started]) + timedelta(days=1)


def cycle_date(draw: st.DrawFn, office: Office, now: datetime) -> date:
    """The local date at which one of the next cycles starts, or a day beside it."""
    index = office.index_at(now) + draw(st.integers(1, 4))
    return office.start_date_of(index) + timedelta(days=draw(st.sampled_from((0, 0, 0, -1, 1, 10))))
