"""Zones that hurt: daylight saving, half hours, clocks that move at midnight."""

from datetime import date

ZONES = (
    "America/New_York",
    "America/Los_Angeles",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/Santiago",
    "Africa/Cairo",
    "Pacific/Auckland",
)

# Zones whose clocks move at midnight, with an anchor by which a cycle starts that very night (2024).
MOVING_MIDNIGHTS = (
    ("America/Havana", date(2024, 1, 10)),  # 10 March has no midnight
    ("America/Havana", date(2024, 8, 3)),  # 3 November has two
    ("America/Santiago", date(2024, 7, 8)),  # 8 September has no midnight
    ("America/Santiago", date(2024, 2, 7)),  # the hour before 7 April happens twice
    ("Africa/Cairo", date(2024, 1, 26)),  # 26 April has no midnight
    ("Africa/Cairo", date(2024, 9, 1)),  # the hour before 1 November happens twice
)
