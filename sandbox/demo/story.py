"""Three months, day by day: imports, everyday life, and the scenes on their dates."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from billing.office_import import import_offices
from offices.import_findings import ImportSummary
from patients.patient_import import import_patients
from sandbox.demo import correction_scenes as corrections
from sandbox.demo import money_scenes as money
from sandbox.demo import patient_scenes as patients
from sandbox.demo import reconciliation_scenes as reconciliation
from sandbox.demo.everyday import live_a_day
from sandbox.demo.people import newcomers, read_people
from sandbox.demo.stage import Stage
from sandbox.demo_data.generate import FOLDER

# Noon in UTC: the local midnights of all zones of the demo have passed.
FIRST_DAY, LAST_DAY = datetime(2026, 2, 1, 12, tzinfo=UTC), datetime(2026, 5, 2, 12, tzinfo=UTC)
OFFICES, PATIENTS = FOLDER / "offices.csv", FOLDER / "patients.csv"
SEED = 20_260_201
IMPORT_ACTOR = "demo:import"

Scene = Callable[[Stage], None]
Progress = Callable[[int, int], None]

# What happens before the workers' tick of that day. "Look back" scenes only compare.
SCENES: dict[str, tuple[Scene, ...]] = {
    "2026-02-02": (money.setup_fees,),
    "2026-02-04": (patients.reactivation_in_one_cycle,),
    "2026-02-10": (money.one_off_with_a_note,),
    "2026-02-15": (money.total_differs,),
    "2026-02-16": (patients.trial_becomes_active,),
    "2026-02-20": (money.reply_is_lost,),
    "2026-03-03": (money.webhook_is_lost,),
    "2026-03-05": (money.card_breaks,),
    "2026-03-10": (patients.office_cancels, patients.price_override),
    "2026-03-12": (reconciliation.lost_webhook_is_found, money.final_one_off),
    "2026-03-25": (patients.backdated_activation,),
    "2026-04-01": (money.card_was_declined,),
    "2026-04-08": (money.card_is_retried,),
    "2026-04-14": (patients.inactive_office_returns,),
    "2026-04-16": (
        corrections.invoice_is_replaced,
        corrections.invoice_is_credited,
        corrections.invoice_is_written_off,
    ),
    "2026-04-18": (money.invoice_is_voided,),
    "2026-04-20": (money.missed_month_is_caught_up,),
    "2026-04-25": (money.webhooks_out_of_order,),
    "2026-05-02": (
        patients.trial_was_settled,
        patients.canceled_office_was_billed_once_more,
        patients.override_was_used,
        reconciliation.books_agree,
    ),
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of the two files."""

    offices: ImportSummary
    patients: ImportSummary

    @property
    def is_complete(self) -> bool:
        """Tell whether not one row was refused."""
        return not self.offices.rejected and not self.patients.rejected

    @property
    def is_empty(self) -> bool:
        """Tell whether there was nothing to import."""
        return not self.offices.counts["offices_created"] or not self.patients.counts["patients_created"]


def import_files(now: datetime) -> Imported:
    """Import the demo's two files; a second time changes nothing."""
    return Imported(
        import_offices(path=OFFICES, actor=IMPORT_ACTOR, now=now),
        import_patients(path=PATIENTS, actor=IMPORT_ACTOR, now=now),
    )


def live_through(stage: Stage, imported: Imported, *, progress: Progress) -> None:
    """Live through every day; the stage remembers what was expected and seen."""
    stage.people += read_people(PATIENTS)
    _tell_import(stage, imported)
    random = Random(SEED)  # noqa: S311 - the same story every time, no secret
    visitors = newcomers(random)
    days = (LAST_DAY - FIRST_DAY).days
    for day in range(days + 1):
        stage.go_to(FIRST_DAY + timedelta(days=day))
        for scene in SCENES.get(f"{stage.now:%Y-%m-%d}", ()):
            scene(stage)
        if day:
            live_a_day(stage, random, visitors)
        stage.tick()
        progress(day, days)


def _tell_import(stage: Stage, imported: Imported) -> None:
    offices, accounts = imported.offices.counts, imported.patients.counts
    stage.tell(
        f"Imported {offices['offices_created']:,} offices and {accounts['patients_created']:,} patient accounts "
        f"with {accounts['periods_created']:,} periods of activity."
    )
