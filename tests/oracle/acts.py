"""What can happen next at an office: each act draws one or two commands for the given wall clock."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import strategies as st

from tests.oracle import commands as c
from tests.oracle.local_dates import month_key
from tests.oracle.moments import cycle_date, first_day_not_begun, next_edge, past_instant
from tests.oracle.office import Office
from tests.oracle.zones import ZONES


@dataclass(frozen=True)
class Flavour:
    """What may happen in a history; what is off by default leads where the written rules are silent.

    past_runs, future_runs: `as_of` before or after the wall clock. early_zone_change: a zone changed before the first
    cycle. retroactive_prices: a price recorded after the date it holds from. to_trial: a paying office goes back to
    trialing. fees_while_not_live: the setup fee of a canceled or inactive office. backfills: past cycles as drafts.
    """

    patients: int = 6
    least: int = 5
    most: int = 40
    imports: bool = True
    past_runs: bool = True
    cancellations: bool = True
    backdated_deactivation: bool = True
    zone_changes: bool = True
    future_runs: bool = False
    early_zone_change: bool = False
    retroactive_prices: bool = False
    to_trial: bool = False
    fees_while_not_live: bool = False
    backfills: bool = False


@dataclass
class Scene:
    """What an act may look at: the wall clock and the oracle's own office, to aim with."""

    draw: st.DrawFn
    flavour: Flavour
    now: datetime
    office: Office

    patients: tuple[str, ...]

    def patient(self, *, active: bool | None = None) -> str:
        """Any patient; mostly one that is active (or is not), when the act asks for it and there is one."""
        fitting = [each for each in self.patients if self.is_active(each) == active]
        return self.draw(st.sampled_from(fitting if fitting and not self.once_in(8) else self.patients))

    def is_active(self, patient: str) -> bool:
        return any(period.deactivated_at is None for period in self.office.patients.get(patient, []))

    def once_in(self, times: int) -> bool:
        return self.draw(st.integers(1, times)) == times

    def past(self) -> datetime:
        return past_instant(self.draw, self.office, self.now)


Act = Callable[[Scene], list[c.Command]]


def with_registration(scene: Scene, command: c.Activate) -> list[c.Command]:
    """Mostly the patient is known when activated; sometimes that is forgotten, and refused."""
    if command.patient in scene.office.patients or scene.once_in(12):
        return [command]
    return [c.RegisterPatient(scene.now, command.patient), command]


def activate(scene: Scene) -> list[c.Command]:
    return with_registration(scene, c.Activate(scene.now, scene.patient(active=False)))


def activate_late(scene: Scene) -> list[c.Command]:
    moment = scene.now + timedelta(hours=1) if scene.once_in(15) else scene.past()
    return with_registration(scene, c.Activate(scene.now, scene.patient(active=False), moment))


def deactivate(scene: Scene) -> list[c.Command]:
    backdated = scene.flavour.backdated_deactivation and scene.once_in(4)
    return [c.Deactivate(scene.now, scene.patient(active=True), scene.past() if backdated else None)]


def blink(scene: Scene) -> list[c.Command]:
    """Off and on again at the very same instant."""
    patient = scene.patient(active=True)
    return [c.Deactivate(scene.now, patient), *with_registration(scene, c.Activate(scene.now, patient))]


def register(scene: Scene) -> list[c.Command]:
    return [c.RegisterPatient(scene.now, scene.patient())]


def import_periods(scene: Scene) -> list[c.Command]:
    """One or two periods, the last perhaps still running, now and then with one that must be refused."""
    if not scene.flavour.imports:
        return run(scene)
    moments = sorted({scene.past() for _ in range(scene.draw(st.integers(1, 4)))})
    if len(moments) % 2 == 0 and scene.once_in(3):
        moments.pop()
    ends: list[datetime | None] = [*moments[1::2], None]
    spans: list[c.Span] = list(zip(moments[::2], ends, strict=False))
    if scene.once_in(15):
        spans.append((scene.now, scene.now))
    patient = scene.patient()
    still_open = [each.activated_at for each in scene.office.patients.get(patient, []) if not each.deactivated_at]
    if not scene.flavour.backdated_deactivation and any(start in still_open for start, _ in spans):
        return run(scene)  # an end filled in is a backdated deactivation too
    return [c.ImportPeriods(scene.now, patient, tuple(spans))]


def run(scene: Scene) -> list[c.Command]:
    """The billing run, often twice, sometimes with an `as_of` of its own."""
    as_of = None
    if scene.flavour.past_runs and scene.once_in(6):
        as_of = scene.past()
    elif scene.flavour.future_runs and scene.once_in(6):
        as_of = next_edge(scene.office, scene.now) + timedelta(days=scene.draw(st.integers(0, 40)))
    command = c.Run(scene.now, as_of)
    return [command, command] if scene.once_in(4) else [command]


def backfill(scene: Scene) -> list[c.Command]:
    """One to five months, mostly past ones, drafts or closed, often again with what came meanwhile."""
    if not scene.flavour.backfills:
        return run(scene)
    index = scene.office.index_at(scene.now) - scene.draw(st.integers(0, 5))
    last = index + scene.draw(st.integers(0, 4))
    first_month, last_month = (month_key(scene.office.start_date_of(each)) for each in (index, last))
    command = c.Backfill(scene.now, first_month, last_month, scene.draw(st.booleans()))
    return [command, command] if scene.once_in(3) else [command]


def change_status(scene: Scene) -> list[c.Command]:
    status = scene.office.status_at(scene.now)
    targets = {"trialing": ("active",) * 3, "active": (), "canceled": ("active",) * 4, "inactive": ("active",) * 4}[
        status
    ]
    if scene.flavour.cancellations and (status in {"canceled", "inactive"} or scene.once_in(2)):
        targets += ("canceled", "inactive")
    never_paid = all(each != "active" for _, each in scene.office.statuses)
    if scene.flavour.to_trial or (never_paid and status != "trialing"):
        targets += ("trialing",)
    return [c.ChangeStatus(scene.now, scene.draw(st.sampled_from(targets)))] if targets else run(scene)


def set_price(scene: Scene) -> list[c.Command]:
    day = cycle_date(scene.draw, scene.office, scene.now)
    if scene.flavour.retroactive_prices and scene.once_in(3):
        day -= timedelta(days=scene.draw(st.integers(20, 150)))
    else:
        day = max(day, first_day_not_begun(scene.office, scene.now))
    if day in scene.office.versions:
        return run(scene)
    return [c.SetPrice(scene.now, day, scene.draw(st.sampled_from((150, 225, 300, 0))))]


def set_override(scene: Scene) -> list[c.Command]:
    start = cycle_date(scene.draw, scene.office, scene.now)
    if scene.flavour.retroactive_prices and scene.once_in(3):
        start -= timedelta(days=scene.draw(st.integers(20, 150)))
    else:
        start = max(start, first_day_not_begun(scene.office, scene.now))
    end = start + timedelta(days=scene.draw(st.sampled_from((1, 28, 30, 31, 59, 60, 61, 90))))
    if any(start < until and since < end for since, until, _ in scene.office.overrides):
        return run(scene)
    return [c.SetOverride(scene.now, start, end, scene.draw(st.sampled_from((99, 120, 0))))]


def change_zone(scene: Scene) -> list[c.Command]:
    allowed = scene.flavour.zone_changes and (scene.office.cycles or scene.flavour.early_zone_change)
    return [c.ChangeZone(scene.now, scene.draw(st.sampled_from(ZONES)))] if allowed else run(scene)


def change_anchor(scene: Scene) -> list[c.Command]:
    return [c.ChangeAnchor(scene.now, scene.office.anchor + timedelta(days=scene.draw(st.integers(0, 40))))]


def setup_fee(scene: Scene) -> list[c.Command]:
    status = scene.office.status_at(scene.now)
    if status in {"canceled", "inactive"} and not scene.flavour.fees_while_not_live:
        return run(scene)
    return [c.SetupFee(scene.now)]


def one_off(scene: Scene) -> list[c.Command]:
    return [c.OneOff(scene.now, scene.draw(st.integers(1, 100_000)))]


def next_act(scene: Scene) -> list[c.Command]:
    """One act, by weight, bent to where something can happen: an office that is not live becomes so again some day,
    and who is active already is rather deactivated than activated (and the other way round)."""
    if not scene.office.is_live_at(scene.now) and scene.once_in(7):
        return change_status(scene)
    act = scene.draw(st.sampled_from(ACTS))
    active = [scene.is_active(patient) for patient in scene.patients]
    if act in (activate, activate_late) and all(active) and not scene.once_in(4):
        act = deactivate
    elif act is deactivate and not any(active) and not scene.once_in(4):
        act = activate_late
    return act(scene)


ACTS: tuple[Act, ...] = (
    *(activate,) * 6,
    *(activate_late,) * 7,
    *(deactivate,) * 7,
    *(import_periods,) * 4,
    *(run,) * 9,
    *(backfill,) * 3,
    *(change_status,) * 3,
    *(blink, set_price, set_override, change_zone, change_zone),
    *(register, setup_fee, one_off, change_anchor),
)
