"""Let staff start the monthly run: it is asked for with a reason, and begun by a worker, or here where there is none.

What is done is what the hourly run would do; whoever asks decides when, not whether or how much.
"""

from datetime import datetime

from django.db import IntegrityError, transaction

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.billing_run import run_asked
from billing.models import BillingRun, RunStatus
from billing.parking import LONGEST_REASON, ReasonMissing
from billing.run_chunk import due_offices
from billing.wake_up import Bell, is_hung, ring_after_commit

STREAM = "billing_runs"


class RunWaits(Exception):
    """A run that was asked for has not begun yet: it will do all that is due."""


def start_run(*, reason: str, actor: str, now: datetime) -> BillingRun:
    """Ask for a run of all that is due; return its row. Without a worker it has ended when this returns.

    The reason stays on the row: staff's own words do not enter the chain. Raises ReasonMissing and RunWaits.
    """
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise ReasonMissing(f"say in 1 to {LONGEST_REASON} characters why the run is started now")
    run = BillingRun(as_of=now, actor=actor, reason=reason.strip(), status=RunStatus.ASKED, started_at=now)
    _ask(run)
    if not is_hung(Bell.RUNS):
        run_asked(now=now)
    return run


@transaction.atomic
def _ask(run: BillingRun) -> None:
    run.offices_due = due_offices(run.as_of).count()
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:  # billing_run_one_asked_at_a_time
        raise RunWaits("a run that was asked for has not begun yet: it will do all that is due") from None
    about: dict[str, PayloadValue] = {"run": str(run.pk), "offices_due": run.offices_due}
    record(Fact(STREAM, "run.asked", about), actor=run.actor, now=run.as_of)
    ring_after_commit(Bell.RUNS)
