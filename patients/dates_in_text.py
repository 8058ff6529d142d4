"""Find calendar days in a folded text, however people write them. Pure.

A day may be written in two orders and a year with two digits: every day that the text can mean is found.
"""

import re
from collections.abc import Iterator
from datetime import date

_MONTHS = {
    "january": 1, "jan": 1, "february": 2, "feb": 2, "march": 3, "mar": 3, "april": 4, "apr": 4, "may": 5, "june": 6,
    "jun": 6, "july": 7, "jul": 7, "august": 8, "aug": 8, "september": 9, "sept": 9, "sep": 9, "october": 10, "oct": 10,
    "november": 11, "nov": 11, "december": 12, "dec": 12,
}  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:1[89]|20)\d\d|\d\d)"
_GAP = r"[\s.,/_'-]{1,3}"

_YEAR_FIRST = re.compile(r"(?<!\d)(?P<y>(?:1[89]|20)\d\d)\s?[-/._ ]\s?(?P<a>[01]?\d)\s?[-/._ ]\s?(?P<b>[0-3]?\d)(?!\d)")
_YEAR_LAST = re.compile(
    r"(?<!\d)(?P<a>[0-3]?\d)\s?[-/._ ]\s?(?P<b>[0-3]?\d)\s?[-/._ ]\s?'?(?P<y>(?:1[89]|20)\d\d|\d\d)(?!\d)"
)
_COMPACT = re.compile(r"(?<!\d)\d{8}(?!\d)")
_NAMED = (
    re.compile(rf"(?<![a-z]){_MONTH}(?:{_GAP})?{_DAY}{_GAP}{_YEAR}(?!\d)"),
    re.compile(rf"(?<!\d){_DAY}(?:{_GAP})?(?:of\s)?{_MONTH}{_GAP}{_YEAR}(?!\d)"),
    re.compile(rf"(?<!\d){_YEAR}{_GAP}{_MONTH}{_GAP}{_DAY}(?!\d)"),
)


def dates_in(reading: str) -> frozenset[date]:
    """Return every day that a folded text may mean, with a year in it."""
    return frozenset(_found(reading))


def _found(reading: str) -> Iterator[date]:
    for match in _YEAR_FIRST.finditer(reading):
        yield from _either_order(match["y"], match["a"], match["b"])
    for match in _YEAR_LAST.finditer(reading):
        yield from _either_order(match["y"], match["a"], match["b"])
    for match in _COMPACT.finditer(reading):
        digits = match[0]
        yield from _either_order(digits[:4], digits[4:6], digits[6:])
        yield from _either_order(digits[4:], digits[:2], digits[2:4])
    for pattern in _NAMED:
        for match in pattern.finditer(reading):
            yield from _days(match["year"], _MONTHS[match["month"]], int(match["day"]))


def _either_order(year: str, first: str, second: str) -> Iterator[date]:
    yield from _days(year, int(first), int(second))
    yield from _days(year, int(second), int(first))


def _days(year: str, month: int, day: int) -> Iterator[date]:
    for whole in (int(year),) if len(year) == 4 else (1900 + int(year), 2000 + int(year)):
        try:
            found = date(whole, month, day)
        except ValueError:
            continue
        if whole >= 1880:  # nobody alive was born before
            yield found
