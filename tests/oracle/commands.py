"""What happens to one office, as small frozen facts; `at` is always the wall clock (aware, UTC)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime

Span = tuple[datetime, datetime | None]


@dataclass(frozen=True)
class Command:
    at: datetime


@dataclass(frozen=True)
class CreateOffice(Command):
    """Status, zone and plan price hold since the beginning of time."""

    zone: str
    anchor: date
    status: str = "active"
    price: int = 200
    setup_fee: int = 5000


@dataclass(frozen=True)
class RegisterPatient(Command):
    patient: str


@dataclass(frozen=True)
class ImportPeriods(Command):
    """Writes periods only, all or nothing; makes the patient when unknown."""

    patient: str
    periods: tuple[Span, ...]


@dataclass(frozen=True)
class Activate(Command):
    patient: str
    activated_at: datetime | None = None


@dataclass(frozen=True)
class Deactivate(Command):
    patient: str
    deactivated_at: datetime | None = None


@dataclass(frozen=True)
class ChangeStatus(Command):
    status: str


@dataclass(frozen=True)
class SetPrice(Command):
    """A new price version of the plan, in force from a local date."""

    effective_from: date
    price: int


@dataclass(frozen=True)
class SetOverride(Command):
    """The office's own price for local dates [start, end)."""

    start: date
    end: date
    price: int


@dataclass(frozen=True)
class ChangeZone(Command):
    zone: str


@dataclass(frozen=True)
class ChangeAnchor(Command):
    anchor: date


@dataclass(frozen=True)
class Run(Command):
    """The billing run; `as_of` is the wall clock when not given."""

    as_of: datetime | None = None


@dataclass(frozen=True)
class Backfill(Command):
    """Past cycles that start in the months [first, last] as drafts; `close` closes them."""

    first: str
    last: str
    close: bool = False


@dataclass(frozen=True)
class SetupFee(Command):
    pass


@dataclass(frozen=True)
class OneOff(Command):
    amount: int


History = tuple[Command, ...]


def show(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return "(" + ", ".join(show(item) for item in value) + ")"
    return str(value)


def describe_command(command: Command) -> str:
    details = [(field.name, getattr(command, field.name)) for field in fields(command) if field.name != "at"]
    words = " ".join(f"{name}={show(value)}" for name, value in details if value is not None)
    return f"{show(command.at):<28} {type(command).__name__:<15} {words}".rstrip()


def describe(history: Sequence[Command], outcomes: Sequence[str] = ()) -> str:
    """The history as a script to read, one command a line, with the outcomes when they are known."""
    rows = []
    for number, command in enumerate(history):
        outcome = f"  -> {outcomes[number]}" if number < len(outcomes) else ""
        rows.append(f"{number:>3}  {describe_command(command)}{outcome}")
    return "\n".join(rows)
