"""Which cycle holds this moment? Months counted from the anchor, boundaries at local midnights."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import cycles
from tests.builders import utc


def in_zone(name):
    return lambda _at: name


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        (date(2026, 1, 31), ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        (date(2024, 1, 30), ["2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30", "2024-05-30"]),
        (date(2026, 1, 29), ["2026-01-29", "2026-02-28", "2026-03-29", "2026-04-29", "2026-05-29"]),
        (date(2026, 1, 1), ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01"]),
    ],
)
def test_starts_are_counted_from_the_anchor_and_clamped_to_the_months_last_day(anchor, expected):
    assert [cycles.start_date(anchor, index).isoformat() for index in range(5)] == expected


def test_cycles_before_the_anchor_have_negative_indexes():
    assert cycles.start_date(date(2026, 3, 31), -1) == date(2026, 2, 28)
    assert cycles.index_on(date(2026, 3, 31), date(2026, 2, 28)) == -1


@given(anchor=st.dates(date(2000, 1, 1), date(2100, 1, 1)), day=st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_every_day_lies_in_exactly_one_cycle(anchor, day):
    index = cycles.index_on(anchor, day)

    assert cycles.start_date(anchor, index) <= day < cycles.start_date(anchor, index + 1)


@given(anchor=st.dates(date(2000, 1, 1), date(2100, 1, 1)), index=st.integers(-600, 600))
def test_exactly_one_cycle_starts_in_each_calendar_month(anchor, index):
    this, following = cycles.start_date(anchor, index), cycles.start_date(anchor, index + 1)

    assert (following.year * 12 + following.month) - (this.year * 12 + this.month) == 1


def test_a_boundary_is_local_midnight():
    assert cycles.first_instant(date(2026, 2, 1), "America/New_York") == utc("2026-02-01T05:00")
    assert cycles.first_instant(date(2026, 7, 1), "America/New_York") == utc("2026-07-01T04:00")
    assert cycles.first_instant(date(2026, 7, 1), "Asia/Kolkata") == utc("2026-06-30T18:30")


def test_a_midnight_that_does_not_exist_is_the_days_first_instant():
    # Havana 2026-03-08: the clock goes from 00:00 to 01:00.
    start = cycles.first_instant(date(2026, 3, 8), "America/Havana")

    assert start.astimezone(ZoneInfo("America/Havana")).hour == 1
    assert (start - timedelta(seconds=1)).astimezone(ZoneInfo("America/Havana")).date() == date(2026, 3, 7)


def test_a_midnight_that_comes_twice_is_the_first_of_the_two():
    # Havana 2026-11-01: 01:00 goes back to 00:00, so midnight comes at 04:00 and at 05:00 UTC.
    assert cycles.first_instant(date(2026, 11, 1), "America/Havana") == utc("2026-11-01T04:00")


def test_a_day_that_was_skipped_begins_with_the_next_one():
    # Samoa crossed the date line: 2011-12-30 never happened there.
    assert cycles.first_instant(date(2011, 12, 30), "Pacific/Apia") == cycles.first_instant(
        date(2011, 12, 31), "Pacific/Apia"
    )


def test_the_first_cycle_contains_the_moment_asked_for():
    span = cycles.span_containing(date(2026, 1, 31), utc("2026-03-15"), in_zone("America/New_York"))

    assert (span.key, span.start_date, span.end_date) == ("2026-02", date(2026, 2, 28), date(2026, 3, 31))
    assert span.start_at <= utc("2026-03-15") < span.end_at


def test_a_change_of_zone_leaves_no_gap_and_no_overlap():
    def zone_at(at: datetime) -> str:
        return "America/New_York" if at < utc("2026-02-10") else "Asia/Kolkata"

    first = cycles.span_containing(date(2026, 1, 15), utc("2026-02-01"), zone_at)
    following = cycles.spans_after(date(2026, 1, 15), first.index, first.end_at, zone_at)
    second, third = next(following), next(following)

    assert first.end_at == second.start_at == utc("2026-02-15T05:00")  # still New York's midnight
    assert second.zone == "Asia/Kolkata"
    assert second.end_at == third.start_at == utc("2026-03-14T18:30")  # Kolkata's midnight of the 15th


def test_a_zone_changed_before_the_first_cycle_leaves_the_chain_of_boundaries_as_it_was():
    def zone_at(at: datetime) -> str:
        return "America/New_York" if at < utc("2023-12-01") else "America/Los_Angeles"

    span = cycles.span_containing(date(2023, 12, 31), utc("2023-12-31T05:00"), zone_at)

    # The cycle before it began in New York and ends at its midnight; from there on Los Angeles counts.
    assert (span.key, span.start_at, span.zone) == ("2023-12", utc("2023-12-31T05:00"), "America/Los_Angeles")


@given(
    anchor=st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    zone=st.sampled_from(
        ["America/New_York", "America/Havana", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]
    ),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC)),
)
def test_cycles_follow_each_other_without_gap_or_overlap(anchor, zone, at):
    span = cycles.span_containing(anchor, at, in_zone(zone))
    assert span.start_at <= at < span.end_at
    following = cycles.spans_after(anchor, span.index, span.end_at, in_zone(zone))
    for _ in range(14):
        after = next(following)
        assert after.start_at == span.end_at
        assert after.start_at == cycles.first_instant(after.start_date, zone)
        span = after
