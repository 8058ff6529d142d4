"""What an import found wrong, and what it did: rows, fields and codes, never a value (decisions.md 27)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import DataError, IntegrityError

SHOWN = 100  # problems printed: enough to see what is wrong with a file, few enough to read; the rest is counted

P = ParamSpec("P")
R = TypeVar("R")

Progress = Callable[[int, int], None]  # rows done, rows in all


class ProblemCode(StrEnum):
    """Everything that can be wrong with a row; the sentence for people is in MESSAGES."""

    MALFORMED = "malformed_csv"
    WRONG_CELL_COUNT = "wrong_cell_count"
    NOT_UTF8 = "not_utf8"
    NUL_CHARACTER = "nul_character"
    REQUIRED = "required"
    TOO_LONG = "too_long"
    INVALID_REFERENCE = "invalid_reference"
    INVALID_EMAIL = "invalid_email"
    INVALID_DATE = "invalid_date"
    FUTURE_DATE = "future_date"
    INVALID_TIME = "invalid_time"
    TIME_WITHOUT_ZONE = "time_without_zone"
    FUTURE_TIME = "future_time"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_PLAN = "unknown_plan"
    UNKNOWN_COLLECTION_METHOD = "unknown_collection_method"
    UNKNOWN_OFFICE = "unknown_office"
    DUPLICATE_OFFICE = "duplicate_office"
    AMBIGUOUS_OFFICE = "ambiguous_office"
    ANCHOR_FIXED = "anchor_fixed"
    EMPTY_PERIOD = "empty_period"
    OVERLAPPING_PERIODS = "overlapping_periods"
    END_DIFFERS = "end_differs"
    IDENTITY_UNREADABLE = "identity_unreadable"
    # Told, but no reason to refuse the file:
    PAST_DUE_IS_DERIVED = "past_due_is_derived"
    IDENTITY_SUPERSEDED = "identity_superseded"


MESSAGES = {
    ProblemCode.MALFORMED: "quoting is broken here; nothing below this row can be read",
    ProblemCode.WRONG_CELL_COUNT: "the row has not as many cells as the header",
    ProblemCode.NOT_UTF8: "the cell is not UTF-8",
    ProblemCode.NUL_CHARACTER: "the cell holds a NUL character",
    ProblemCode.REQUIRED: "must not be empty",
    ProblemCode.TOO_LONG: "is too long",
    ProblemCode.INVALID_REFERENCE: "must be 1 to 64 letters, digits, hyphens or underscores",
    ProblemCode.INVALID_EMAIL: "is not an e-mail address",
    ProblemCode.INVALID_DATE: "is not an ISO 8601 date, such as 2026-01-31",
    ProblemCode.FUTURE_DATE: "lies in the future",
    ProblemCode.INVALID_TIME: "is not an ISO 8601 time with zone, such as 2026-01-31T09:00:00-05:00",
    ProblemCode.TIME_WITHOUT_ZONE: "has no zone; write Z or an offset such as -05:00",
    ProblemCode.FUTURE_TIME: "lies in the future",
    ProblemCode.UNKNOWN_TIMEZONE: "is not a zone of the IANA database, such as America/New_York",
    ProblemCode.UNKNOWN_STATUS: "must be trialing, active, past_due, canceled or inactive",
    ProblemCode.UNKNOWN_PLAN: "there is no plan with this code",
    ProblemCode.UNKNOWN_COLLECTION_METHOD: "must be send_invoice or charge_automatically",
    ProblemCode.UNKNOWN_OFFICE: "there is no office with this reference",
    ProblemCode.DUPLICATE_OFFICE: "another row of this file is about the same office",
    ProblemCode.AMBIGUOUS_OFFICE: "several offices have this name and billing e-mail; give the reference",
    ProblemCode.ANCHOR_FIXED: "the billing anchor is fixed once the first cycle has opened",
    ProblemCode.EMPTY_PERIOD: "must be after activated_at",
    ProblemCode.OVERLAPPING_PERIODS: "the patient account was already active then; periods may touch, not overlap",
    ProblemCode.END_DIFFERS: "the period that begins then has another end; only an open end can be filled in",
    ProblemCode.IDENTITY_UNREADABLE: "the stored identity cannot be read with the present keys",
    ProblemCode.PAST_DUE_IS_DERIVED: "stored as active: past_due follows from unpaid invoices",
    ProblemCode.IDENTITY_SUPERSEDED: "a later row of this file describes the same person otherwise; that one counts",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a row is refused: the column (empty: the row as a whole) and the code."""

    field: str
    code: ProblemCode


class RowRejected(Exception):
    """A row breaks a rule; carries columns and codes, never a value."""

    def __init__(self, *causes: Cause) -> None:
        super().__init__("the row is refused")
        self.causes = causes


class ImportClash(Exception):
    """The database refused what was checked before: somebody else wrote the same at that moment. Try again."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One line of what is wrong, or worth knowing, about a row."""

    row: int
    field: str
    code: ProblemCode

    @property
    def message(self) -> str:
        """Return the sentence for people."""
        return MESSAGES[self.code]


class Findings:
    """Collects problems: all are counted, the first SHOWN kept, so that a hopeless file costs no memory."""

    def __init__(self) -> None:
        self.rejected = 0
        self._count = 0
        self._errors: list[RowProblem] = []
        self._warnings: list[RowProblem] = []

    def reject(self, row: int, rejection: RowRejected) -> None:
        """Note that a row is refused, with every cause."""
        self.rejected += 1
        for cause in rejection.causes:
            self._note(self._errors, RowProblem(row, cause.field, cause.code))

    def warn(self, row: int, field: str, code: ProblemCode) -> None:
        """Note what does not stop the import."""
        self._note(self._warnings, RowProblem(row, field, code))

    def shown(self) -> list[RowProblem]:
        """Return at most SHOWN problems by row, the errors before the warnings."""
        errors = sorted(self._errors, key=lambda problem: problem.row)
        return [*errors, *self._warnings][:SHOWN]

    def hidden(self) -> int:
        """Return how many more there were."""
        return self._count - len(self.shown())

    def _note(self, kept: list[RowProblem], problem: RowProblem) -> None:
        self._count += 1
        if len(kept) < SHOWN:
            kept.append(problem)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did. `rejected` rows mean that nothing was written; `notes` are lines for people."""

    counts: Mapping[str, int]
    problems: tuple[RowProblem, ...] = ()
    hidden_problems: int = 0
    notes: tuple[str, ...] = ()

    @property
    def rejected(self) -> int:
        """Return how many rows were refused."""
        return self.counts["rejected"]


def summed_up(
    counts: Mapping[str, int], names: tuple[str, ...], findings: Findings, notes: tuple[str, ...] = ()
) -> ImportSummary:
    """Sum up: after a refused row nothing was written, so nothing but the rows is counted."""
    if findings.rejected:
        counts, notes = {"rows": counts["rows"]}, ()
    return ImportSummary(
        counts={name: counts.get(name, 0) for name in names} | {"rejected": findings.rejected},
        problems=tuple(findings.shown()),
        hidden_problems=findings.hidden(),
        notes=notes,
    )


def values_kept_in(use_case: Callable[P, R]) -> Callable[P, R]:
    """Make a use case raise ImportClash in place of a database error that quotes values (privacy.md)."""

    @wraps(use_case)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return use_case(*args, **kwargs)
        except (IntegrityError, DataError):
            pass
        # Raised outside of the handler: the refused values would travel along as the exception's context.
        raise ImportClash("somebody else changed the same records at this moment; import the file again")

    return guarded
