"""CSV and XLSX, written row by row, with no cell that a spreadsheet would run.

A text that begins like a formula gets an apostrophe in front: what an office calls itself must not run on the machine
of whoever opens the file (CSV injection). Numbers are numbers, so a credit of -2.00 stays one.
"""

import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime
from typing import IO, Any

from import_export.formats.base_formats import CSV, XLSX
from openpyxl import Workbook

from billing.exports.sheet import Cell

# What starts a formula in a spreadsheet, in its wide form too, also after what a spreadsheet may skip.
_STARTS_A_FORMULA = re.compile("[\\s\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
# Neither XML nor any spreadsheet can hold these.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LONGEST_TEXT = 32_767  # characters of a cell of a spreadsheet


def safe(cell: Cell) -> Cell:
    """Return the cell, with a text that would be a formula made one that is read as text."""
    if not isinstance(cell, str):
        return cell
    text = _UNPRINTABLE.sub("", cell)[:_LONGEST_TEXT]
    return f"'{text}" if _STARTS_A_FORMULA.match(text) else text


class CsvFile(CSV):  # type: ignore[misc]
    """Comma-separated values in UTF-8 with a mark, so that spreadsheets read it as such."""

    def write(self, lines: Iterable[list[Cell]], file: IO[bytes]) -> int:
        """Write all lines; return how many there were."""
        wrapper = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
        rows, number = csv.writer(wrapper), 0
        for line in lines:
            rows.writerow([_as_text(safe(cell)) for cell in line])
            number += 1
        wrapper.detach()
        return number


class XlsxFile(XLSX):  # type: ignore[misc]
    """A spreadsheet with one sheet. openpyxl's write-only mode: a row that is written is forgotten."""

    def write(self, lines: Iterable[list[Cell]], file: IO[bytes]) -> int:
        """Write all lines; return how many there were."""
        book, number = Workbook(write_only=True), 0
        sheet: Any = book.create_sheet("Export")
        for line in lines:
            sheet.append([safe(cell) for cell in line])
            number += 1
        book.save(file)
        return number


def _as_text(cell: Cell) -> str:
    if cell is None:
        return ""
    return cell.isoformat(" ") if isinstance(cell, datetime) else str(cell)


FORMATS = (CsvFile, XlsxFile)
