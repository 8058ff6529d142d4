"""Write rows to a file for a member of staff: bounded, with flat memory, and on the record before it is handed out."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryFile
from typing import IO, Any

from django.db.models import QuerySet

from billing.exports.formats import CsvFile, XlsxFile
from billing.exports.sheet import Sheet
from billing.handed_out import record_handed_out

# What one core writes in a third of the 30 s that gunicorn gives a request (bin/bench exports), or in two thirds where
# a list has twice the columns. A spreadsheet takes six times as long as the same rows as CSV.
LONGEST = {CsvFile: 250_000, XlsxFile: 50_000}


class ExportTooLong(ValueError):
    """More rows than one file holds; nothing was written."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The file, open at its beginning and without a name on the disk, and how many rows it holds."""

    file: IO[bytes]
    rows: int


def export_rows(
    *,
    sheet: Sheet,
    queryset: QuerySet[Any],
    file_format: CsvFile | XlsxFile,
    filters: Sequence[str],
    actor: str,
    now: datetime,
) -> Exported:
    """Write the rows, record who took how many of what, and return the file.

    `filters` are names, never what they were compared with. The entry is written before the first byte leaves; the file
    is complete then. Raises ExportTooLong.
    """
    _refuse_too_long(queryset, LONGEST[type(file_format)])
    # Without a name: it is gone with the answer, whatever happens to this process.
    file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed by whoever hands it out
    try:
        rows = file_format.write(itertools.chain([sheet.headers()], sheet.rows(queryset)), file) - 1
        payload = {
            "what": sheet.name, "format": file_format.get_extension(), "rows": rows, "filters": ",".join(filters),
        }  # fmt: skip
        record_handed_out("rows.exported", payload, actor=actor, now=now)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return Exported(file, rows)


def _refuse_too_long(queryset: QuerySet[Any], longest: int) -> None:
    if queryset.order_by().values("pk")[: longest + 1].count() > longest:
        raise ExportTooLong(f"these are more than {longest:,} rows, the most that such a file holds: filter first")
