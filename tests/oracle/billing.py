"""Who is billable in a cycle, with which type, and the one way to put a patient's line on an invoice."""

from dataclasses import dataclass
from datetime import datetime

from tests.oracle.office import BEGINNING, END, Cycle, Line, Office, Period


@dataclass(frozen=True)
class Readings:
    """Choices where the rules can be read in two ways.

    usage_only_while_live: activity counts only at moments when the office was live ("nothing is caught up for a time
    when the office was canceled or inactive"); otherwise any moment of a cycle that exists counts.
    """

    usage_only_while_live: bool = True


def merged(periods: list[Period]) -> list[Period]:
    """Periods in order of time, those that touch made one."""
    result: list[Period] = []
    for period in sorted(periods, key=lambda each: each.activated_at):
        if result and result[-1].deactivated_at == period.activated_at:
            result[-1] = Period(result[-1].activated_at, period.deactivated_at)
        else:
            result.append(Period(period.activated_at, period.deactivated_at))
    return result


def uses(office: Office, period: Period, cycle: Cycle, readings: Readings) -> bool:
    """Is there a moment of the cycle at which the period runs (and the office is live)?"""
    stretches = office.live_stretches() if readings.usage_only_while_live else [(BEGINNING, END)]
    return any(
        max(period.activated_at, cycle.start_at, since) < min(period.end, cycle.end_at, until)
        for since, until in stretches
    )


def is_billable(office: Office, patient: str, cycle: Cycle, readings: Readings) -> bool:
    return any(uses(office, period, cycle, readings) for period in office.patients[patient])


def item_type(periods: list[Period], start_at: datetime) -> str:
    across = any(period.activated_at < start_at < period.end for period in merged(periods))
    return "active_patient" if across else "patient_activation"


def has_line(office: Office, patient: str, cycle: Cycle) -> bool:
    return any(line.patient == patient and line.cycle_key == cycle.key for line in office.lines)


def add_line_once(office: Office, patient: str, cycle: Cycle, on: Cycle) -> None:
    """Bill the patient for `cycle` on the invoice of `on`: an adjustment when `cycle` is closed."""
    if has_line(office, patient, cycle):
        return
    kind = "adjustment" if cycle.closed else item_type(office.patients[patient], cycle.start_at)
    office.lines.append(Line(on.invoice, kind, patient, cycle.key, cycle.unit_price))


def add_missing_lines(office: Office, cycle: Cycle, on: Cycle, readings: Readings) -> None:
    for patient in office.patients:
        if is_billable(office, patient, cycle, readings):
            add_line_once(office, patient, cycle, on)
