"""What offices owe, month by month, by our books and by Stripe's: opening + billed - credited - paid - written off.

docs/reconciliation.md says where each movement has its place. An opening balance is the sum of all that moved before,
so the identity holds by what a balance is; that the last closing balance is what is due now, by the rows of each
invoice, is a different sum, and a test compares the two. Months are those of UTC; cents.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import UUID

from billing.estimates import rows_of
from billing.models import Invoice, ReconciliationRun
from billing.reconciliation.movements import Movement, ours_of, theirs_of


@dataclass(frozen=True, slots=True)
class Balance:
    """One side's month, in cents."""

    opening: int = 0
    billed: int = 0
    credited: int = 0
    paid: int = 0
    written_off: int = 0

    @property
    def closing(self) -> int:
        """What is owed at the end of the month."""
        return self.opening + self.billed - self.credited - self.paid - self.written_off


@dataclass(frozen=True, slots=True)
class MonthBalance:
    """A month, `YYYY-MM`, by both sides."""

    month: str
    ours: Balance = field(default_factory=Balance)
    theirs: Balance = field(default_factory=Balance)

    @property
    def difference(self) -> int:
        """Ours less Stripe's, at the end of the month."""
        return self.ours.closing - self.theirs.closing


def balances(*, office_id: UUID | None = None) -> list[MonthBalance]:
    """Return every month in which something moved, of one office or of all, oldest first.

    Stripe's side is what it showed when it was last listed (`reconcile`).
    """
    ours, theirs = _by_month(ours_of(office_id)), _by_month(theirs_of(office_id))
    months = sorted(ours.keys() | theirs.keys())
    sides = zip(_roll(ours, months), _roll(theirs, months), strict=True)
    return [MonthBalance(month, mine, yours) for month, (mine, yours) in zip(months, sides, strict=True)]


def shown_balances() -> tuple[list[MonthBalance], datetime | None]:
    """Return every month, and as of when: of very large books as of the last comparison, of others as of now (None).

    Adding up a million invoices takes longer than a page may.
    """
    if not rows_of(Invoice).exact:
        run = ReconciliationRun.objects.exclude(balances="").order_by("-started_at").first()
        if run is not None:
            return from_text(run.balances), run.finished_at
    return balances(), None


def as_text(months: Iterable[MonthBalance]) -> str:
    """Return the months as canonical JSON."""
    return json.dumps([asdict(month) for month in months], sort_keys=True, separators=(",", ":"))


def from_text(text: str) -> list[MonthBalance]:
    """Return what `as_text` has kept."""
    return [MonthBalance(row["month"], Balance(**row["ours"]), Balance(**row["theirs"])) for row in json.loads(text)]


def _by_month(movements: Iterable[Movement]) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for movement in movements:
        sums[movement.month][movement.column] += movement.cents
    return sums


def _roll(sums: dict[str, dict[str, int]], months: Iterable[str]) -> Iterator[Balance]:
    opening = 0
    for month in months:
        moved = sums.get(month, {})
        balance = Balance(opening, **{name: moved.get(name, 0) for name in Movement.COLUMNS})
        yield balance
        opening = balance.closing
