"""The first reading of a patients' file: which offices to lock, and where the file itself says two things.

The rows of one person may lie anywhere in the file. When they differ, the last one says who the person is, and an
empty end gives way to the end that another row gives for the same period: so a second import of the file finds
everything as it should be. Only fingerprints are kept, 48 bytes a row.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from uuid import UUID

from offices.csv_rows import CsvRow, in_chunks, read_rows
from offices.models import Office
from patients.import_rows import COLUMNS, IDENTITY_COLUMNS
from patients.registration import record_number

_CHUNK_ROWS = 1_000
Print = tuple[int, int, int]  # what the row is about, its number, what it says


@dataclass(slots=True)
class Survey:
    """What must be known of a file before its first row is written."""

    rows: int = 0
    office_ids: dict[str, UUID] = field(default_factory=dict)
    superseded: frozenset[int] = frozenset()  # rows whose person a later row describes otherwise
    without_say_on_end: frozenset[int] = frozenset()  # rows with an empty end that another row fills


def survey_file(path: Path) -> Survey:
    """Read the file once, without validating it; raises FileUnusable."""
    survey, persons, periods = Survey(), _Prints(), _Prints()
    for chunk in in_chunks(read_rows(path, COLUMNS), _CHUNK_ROWS):
        readable = [row for row in chunk if not row.causes]
        survey.rows += len(chunk)
        persons.add(_person(row) for row in readable)
        periods.add(_period(row) for row in readable)
        _find_offices(survey.office_ids, {row.texts["office_reference"] for row in readable})
    survey.superseded = persons.rows_that(_differ_from_the_last)
    survey.without_say_on_end = periods.rows_that(_leave_open_what_another_ends)
    return survey


def _find_offices(known: dict[str, UUID], references: set[str]) -> None:
    """Add the offices that exist; a file full of unknown references must not fill the memory."""
    among = Office.objects.filter(reference__in=references - known.keys())
    known.update(among.values_list("reference", "pk"))


class _Prints:
    """Fingerprints in sorted runs, merged when asked: no object per row stays in memory."""

    def __init__(self) -> None:
        self._runs: list[array[int]] = []

    def add(self, prints: Iterable[Print]) -> None:
        self._runs.append(array("q", (number for each in sorted(prints) for number in each)))

    def rows_that(self, contradict: Callable[[list[Print]], Iterator[int]]) -> frozenset[int]:
        """Return the rows that `contradict` picks among those that are about the same."""
        runs = (zip(*[iter(run)] * 3, strict=True) for run in self._runs)
        found: set[int] = set()
        for _, group in groupby(merge(*runs), key=itemgetter(0)):
            alike = list(group)
            if len(alike) > 1:
                found.update(contradict(alike))
        return frozenset(found)


def _person(row: CsvRow) -> Print:
    texts = row.texts
    about = hash((texts["office_reference"], record_number(texts["external_id"])))
    return about, row.number, hash(tuple(texts[column] for column in IDENTITY_COLUMNS))


def _period(row: CsvRow) -> Print:
    texts = row.texts
    about = hash((texts["office_reference"], record_number(texts["external_id"]), _moment(texts["activated_at"])))
    return about, row.number, bool(texts["deactivated_at"])


def _moment(text: str) -> datetime | str:
    """Return the instant, so that two ways of writing it are one; or the text, which will be refused later."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _differ_from_the_last(alike: list[Print]) -> Iterator[int]:
    return (number for _, number, says in alike if says != alike[-1][2])


def _leave_open_what_another_ends(alike: list[Print]) -> Iterator[int]:
    ended = any(has_end for _, _, has_end in alike)
    return (number for _, number, has_end in alike if ended and not has_end)
