"""The calendar by hand: clamped month ends, and midnights that move, vanish or repeat (rule 6, decision 9)."""

from datetime import date

from tests.oracle.examples import utc
from tests.oracle.local_dates import first_instant, start_date


def test_cycles_of_a_31_january_anchor_are_clamped_and_counted_from_the_anchor() -> None:
    starts = [start_date(date(2025, 1, 31), index) for index in range(-2, 5)]
    assert starts == [
        date(2024, 11, 30),
        date(2024, 12, 31),
        date(2025, 1, 31),
        date(2025, 2, 28),
        date(2025, 3, 31),
        date(2025, 4, 30),
        date(2025, 5, 31),
    ]


def test_a_leap_year_gives_a_29th_of_february_even_to_an_anchor_on_one() -> None:
    assert [start_date(date(2024, 1, 30), index) for index in (1, 13)] == [date(2024, 2, 29), date(2025, 2, 28)]
    assert [start_date(date(2024, 2, 29), index) for index in (12, 48)] == [date(2025, 2, 28), date(2028, 2, 29)]


def test_boundaries_are_local_midnights_on_both_sides_of_daylight_saving() -> None:
    assert first_instant(date(2024, 3, 10), "America/New_York") == utc("2024-03-10 05:00")
    assert first_instant(date(2024, 3, 11), "America/New_York") == utc("2024-03-11 04:00")
    assert first_instant(date(2024, 11, 4), "America/New_York") == utc("2024-11-04 05:00")
    assert first_instant(date(2025, 4, 6), "Australia/Lord_Howe") == utc("2025-04-05 13:00")
    assert first_instant(date(2025, 4, 7), "Australia/Lord_Howe") == utc("2025-04-06 13:30")


def test_a_midnight_that_does_not_exist_is_the_first_instant_of_the_day() -> None:
    assert first_instant(date(2024, 3, 10), "America/Havana") == utc("2024-03-10 05:00")  # 01:00 by the clock
    assert first_instant(date(2024, 9, 8), "America/Santiago") == utc("2024-09-08 04:00")
    assert first_instant(date(2024, 4, 26), "Africa/Cairo") == utc("2024-04-25 22:00")


def test_a_midnight_that_happens_twice_is_the_first_of_the_two() -> None:
    assert first_instant(date(2024, 11, 3), "America/Havana") == utc("2024-11-03 04:00")  # and again at 05:00


def test_a_midnight_after_an_hour_that_happens_twice_is_the_end_of_the_second() -> None:
    assert first_instant(date(2024, 4, 7), "America/Santiago") == utc("2024-04-07 04:00")
    assert first_instant(date(2024, 11, 1), "Africa/Cairo") == utc("2024-10-31 22:00")
