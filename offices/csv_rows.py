"""Read the CSV files of the imports row by row: the header is row 1, UTF-8 with or without BOM (decisions.md 27).

Nothing here ever repeats what a file says: a file without a header has people's names where the columns should be.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from offices.import_findings import Cause, ProblemCode, RowRejected

T = TypeVar("T")

# Read at most so much at once: a file without line ends must not fill the memory. No honest row is that long.
_LONGEST_LINE = 100_000
# What `surrogateescape` makes of bytes that are no UTF-8, and the one character PostgreSQL cannot store.
_UNREADABLE = re.compile("[\x00\udc80-\udcff]")


class FileUnusable(Exception):
    """The file is missing, not UTF-8, or its header is not the one it must have: not a single row can be read."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row as text. `number` counts like a spreadsheet does: the header is row 1, an empty line is a row."""

    number: int
    texts: Mapping[str, str] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()

    def cells(self) -> Mapping[str, str]:
        """Return the cells by column; raise RowRejected when the row could not be read."""
        if self.causes:
            raise RowRejected(*self.causes)
        return self.texts


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[CsvRow]:
    """Yield the rows below the header, one at a time; the columns may stand in any order, empty lines are skipped.

    A row that cannot be read is yielded with its causes; after broken quoting nothing can be told apart any more, so
    it is the last one. Raises FileUnusable before the first row.
    """
    if not path.is_file():
        raise FileUnusable("there is no such file")
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise FileUnusable(f"the file cannot be read: {error.strerror}") from None
    with file:
        # strict: a quote in the wrong place is an error, not a guess.
        reader = csv.reader(iter(partial(file.readline, _LONGEST_LINE), ""), strict=True)
        header = _header(reader, columns)
        yield from _rows_below(reader, header)


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _header(reader: Iterator[list[str]], columns: Sequence[str]) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error:
        header = []
    if any(map(_UNREADABLE.search, header)):
        raise FileUnusable("the file is not UTF-8 text")
    missing = [column for column in columns if column not in header]
    strange = [
        str(position)
        for position, name in enumerate(header, start=1)
        if name not in columns or name in header[: position - 1]
    ]
    if missing or strange:
        raise FileUnusable(
            f"row 1 must name the columns {','.join(columns)}"
            + (f"; missing: {','.join(missing)}" if missing else "")
            + (f"; unknown or repeated: column {', '.join(strange)}" if strange else "")
        )
    return header


def _rows_below(reader: Iterator[list[str]], header: list[str]) -> Iterator[CsvRow]:
    number, width = 1, len(header)
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield CsvRow(number, causes=(Cause("", ProblemCode.MALFORMED),))
            return
        if len(cells) == width:
            causes = _unreadable(header, cells) if _UNREADABLE.search("".join(cells)) else ()
            yield CsvRow(number, dict(zip(header, cells, strict=True)), causes)
        elif cells:
            yield CsvRow(number, causes=(Cause("", ProblemCode.WRONG_CELL_COUNT),))


def _unreadable(header: Sequence[str], cells: Sequence[str]) -> tuple[Cause, ...]:
    return tuple(
        Cause(column, ProblemCode.NUL_CHARACTER if found.group() == "\0" else ProblemCode.NOT_UTF8)
        for column, cell in zip(header, cells, strict=True)
        if (found := _UNREADABLE.search(cell))
    )
