"""Open and end discrepancies: one row for one kind of difference of one subject, however often it is found."""

import json
from collections.abc import Mapping
from datetime import datetime

from django.db.models import QuerySet

from billing.models import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    Invoice,
    ReconciliationRun,
    RepairKind,
)
from offices.models import Office

# Numbers, codes and ids only: never text that somebody typed at Stripe.
Evidence = Mapping[str, str | int | bool | list[str] | list[int] | None]


def open_discrepancy(  # noqa: PLR0913 - one argument for each thing the row tells
    *,
    kind: DiscrepancyKind,
    subject: str,
    office: Office | None,
    invoice: Invoice | None,
    cycle_key: str,
    amount_cents: int,
    ours: Evidence,
    theirs: Evidence,
    repair: RepairKind,
    run: ReconciliationRun | None,
    now: datetime,
) -> bool:
    """Keep a difference and return whether it is new; one that is open already gets the evidence of today.

    `subject` is what it is about ("invoice:<our id>", "stripe:<their id>"), `run` None when an event told it. What a
    person accepted stays accepted as long as both sides say the same.
    """
    evidence = {"ours": _canonical(ours), "theirs": _canonical(theirs)}
    same = Discrepancy.objects.filter(kind=kind, subject=subject)
    seen = {**evidence, "amount_cents": amount_cents, "repair": repair, "last_seen_at": now}
    if same.filter(status=DiscrepancyStatus.OPEN).update(**seen, **({"run": run} if run else {})):
        return False
    if same.filter(status=DiscrepancyStatus.ACCEPTED, **evidence).exists():
        return False
    about = {"office": office, "invoice": invoice, "cycle_key": cycle_key, "run": run, "found_at": now, **seen}
    # Two finders at once: the constraint lets one row in, the other finder reads it.
    _row, created = Discrepancy.objects.get_or_create(
        kind=kind, subject=subject, status=DiscrepancyStatus.OPEN, defaults=about
    )
    return created


def is_accepted(*, kind: DiscrepancyKind, subject: str, ours: Evidence, theirs: Evidence) -> bool:
    """Say whether `open_discrepancy` would leave this closed: a person accepted just what both sides say now."""
    same = Discrepancy.objects.filter(kind=kind, subject=subject)
    accepted = same.filter(status=DiscrepancyStatus.ACCEPTED, ours=_canonical(ours), theirs=_canonical(theirs))
    return accepted.exists() and not same.filter(status=DiscrepancyStatus.OPEN).exists()


def end_discrepancies(found: QuerySet[Discrepancy], *, status: DiscrepancyStatus, actor: str, now: datetime) -> int:
    """End those of `found` that are open, as repaired, gone or accepted by `actor`, and return how many there were."""
    return found.filter(status=DiscrepancyStatus.OPEN).update(status=status, ended_at=now, ended_by=actor)


def _canonical(evidence: Evidence) -> str:
    return json.dumps(evidence, sort_keys=True, separators=(",", ":"))
