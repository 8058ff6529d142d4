"""Patients: registration, imported periods, activation with billing, deactivation."""

from datetime import datetime

from tests.oracle.billing import Readings, add_line_once, uses
from tests.oracle.commands import Activate, Deactivate, ImportPeriods, RegisterPatient, Span
from tests.oracle.office import END, Cycle, Office, Period


def register(office: Office, command: RegisterPatient) -> str:
    if command.patient in office.patients:
        return "unchanged"
    office.patients[command.patient] = []
    return "changed"


def import_periods(office: Office, command: ImportPeriods) -> str:
    """All the periods or none; the same period again is no change, an empty end may be filled in."""
    known = command.patient in office.patients
    before = [Period(each.activated_at, each.deactivated_at) for each in office.patients.get(command.patient, [])]
    after = [Period(each.activated_at, each.deactivated_at) for each in before]
    for span in command.periods:
        refusal = take_in(after, span, command.at)
        if refusal:
            return refusal
    office.patients[command.patient] = after
    return "unchanged" if known and after == before else "changed"


def take_in(periods: list[Period], span: Span, now: datetime) -> str | None:
    """Add one imported period to the list, or say why not."""
    activated_at, deactivated_at = span
    if activated_at > now or (deactivated_at is not None and deactivated_at > now):
        return "refused:future_time"
    if deactivated_at is not None and deactivated_at <= activated_at:
        return "refused:empty_period"
    same = [each for each in periods if each.activated_at == activated_at]
    others = [each for each in periods if each.activated_at != activated_at]
    if overlaps(others, activated_at, deactivated_at or END):
        return "refused:overlap"
    if not same:
        periods.append(Period(activated_at, deactivated_at))
    elif same[0].deactivated_at is None:
        same[0].deactivated_at = deactivated_at
    elif same[0].deactivated_at != deactivated_at:
        return "refused:overlap"
    return None


def overlaps(periods: list[Period], start: datetime, end: datetime) -> bool:
    return any(max(each.activated_at, start) < min(each.end, end) for each in periods)


def open_period(office: Office, patient: str) -> Period | None:
    return next((each for each in office.patients[patient] if each.deactivated_at is None), None)


def activate(office: Office, command: Activate, readings: Readings) -> str:
    activated_at = command.activated_at or command.at
    if command.patient not in office.patients:
        return "refused:unknown_patient"
    if activated_at > command.at:
        return "refused:future_time"
    if not office.is_live_at(command.at):
        return "refused:office_not_live"
    if open_period(office, command.patient):
        return "unchanged"
    if overlaps(office.patients[command.patient], activated_at, END):
        return "refused:overlap"
    period = Period(activated_at, None)
    office.patients[command.patient].append(period)
    office.open_cycles_until(command.at)
    bill_new_period(office, command.patient, period, now=command.at, readings=readings)
    return "changed"


def bill_new_period(office: Office, patient: str, period: Period, *, now: datetime, readings: Readings) -> None:
    """Every cycle the new period reaches: open ones on their own invoice, closed ones as adjustments."""
    for cycle in office.cycles_in_order():
        # A draft of a backfill is charged when it is closed.
        if uses(office, period, cycle, readings) and (cycle.closed or not cycle.backfilled):
            add_line_once(office, patient, cycle, on=invoice_for_adjustments(office, now) if cycle.closed else cycle)


def invoice_for_adjustments(office: Office, now: datetime) -> Cycle:
    """The open cycle that holds `now`; were it closed by a run into the future, the next open one."""
    index = office.index_at(now)
    while index not in office.cycles or office.cycles[index].closed:
        index += 1
        office.open_cycle_if_live(index, until=END)
    return office.cycles[index]


def deactivate(office: Office, command: Deactivate) -> str:
    """Ends the open period; lines stay."""
    deactivated_at = command.deactivated_at or command.at
    if command.patient not in office.patients:
        return "refused:unknown_patient"
    if deactivated_at > command.at:
        return "refused:future_time"
    period = open_period(office, command.patient)
    if period is None:
        return "unchanged"
    if deactivated_at <= period.activated_at:
        return "refused:empty_period"
    period.deactivated_at = deactivated_at
    return "changed"
