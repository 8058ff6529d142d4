"""Keep what a run finds, as open discrepancies, and end those that it does not find again."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from billing.discrepancies import end_discrepancies, is_accepted, open_discrepancy
from billing.models import Discrepancy, DiscrepancyKind, DiscrepancyStatus, Invoice, ReconciliationRun, RepairKind
from billing.reconciliation import scope
from billing.reconciliation.finding import Finding
from offices.models import Office

# Found by the comparison with the log of changes, not by a run.
_NOT_OURS_TO_END = (DiscrepancyKind.BOOKS_CHANGED_BY_HAND,)


@dataclass(slots=True)
class Found:
    """The findings of one run: kept as rows, or with `dry_run` only counted."""

    run: ReconciliationRun
    dry_run: bool
    kinds: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    _invoices: set[UUID] = field(default_factory=set)
    _cycles: set[tuple[UUID | None, str]] = field(default_factory=set)

    def keep(self, findings: Iterable[Finding], *, now: datetime) -> None:
        """Count these findings and open or refresh their rows; the caller owns the transaction."""
        for finding in findings:
            self._count(finding)
            if finding.invoice_id is not None:
                self._invoices.add(finding.invoice_id)
            if finding.subject.startswith("cycle:"):
                self._cycles.add((finding.office_id, finding.cycle_key))
            if not self.dry_run:
                self.opened += self._open(finding, now)

    def _count(self, finding: Finding) -> None:
        """Count for a dry run; a real one is summed up from its rows, where what was accepted is not open."""
        if self.dry_run and not is_accepted(
            kind=finding.kind, subject=finding.subject, ours=finding.ours, theirs=finding.theirs
        ):
            self.kinds[finding.kind] += 1
            self.repairs[finding.repair] += 1

    def _open(self, finding: Finding, now: datetime) -> bool:
        return open_discrepancy(
            kind=finding.kind,
            subject=finding.subject,
            office=Office.objects.filter(pk=finding.office_id).first() if finding.office_id else None,
            invoice=Invoice.objects.defer("internal_note").get(pk=finding.invoice_id) if finding.invoice_id else None,
            cycle_key=finding.cycle_key,
            amount_cents=finding.amount_cents,
            ours=finding.ours,
            theirs=finding.theirs,
            repair=finding.repair,
            run=self.run,
            now=now,
        )

    def has_told(self, finding: Finding) -> bool:
        """Say whether this run has told something about the invoice, or of the cycle that the invoice is for."""
        return (
            finding.invoice_id in self._invoices
            or self.has_cycle_of(finding)
            or (finding.invoice_id is not None and self._of_run().filter(invoice=finding.invoice_id).exists())
        )

    def has_cycle_of(self, finding: Finding) -> bool:
        """Say whether this run has told something about the cycle, before it was killed too."""
        if not finding.cycle_key:
            return False
        about = {"office": finding.office_id, "cycle_key": finding.cycle_key, "subject__startswith": "cycle:"}
        return (finding.office_id, finding.cycle_key) in self._cycles or self._of_run().filter(**about).exists()

    def _of_run(self) -> QuerySet[Discrepancy]:
        return Discrepancy.objects.filter(run=self.run, status=DiscrepancyStatus.OPEN)

    def end_the_others(self, *, actor: str, now: datetime) -> int:
        """End what is open in the run's scope and was not found again; return how many went by themselves."""
        gone = (
            scope.discrepancies(self.run)
            .filter(Q(run__isnull=True) | ~Q(run=self.run))
            # What an event tells while the run is under way is newer than what the run has listed.
            .filter(last_seen_at__lte=self.run.started_at)
            .exclude(kind__in=_NOT_OURS_TO_END)
        )
        if self.dry_run:
            return gone.filter(status=DiscrepancyStatus.OPEN).count()
        with transaction.atomic():
            return end_discrepancies(gone, status=DiscrepancyStatus.GONE, actor=actor, now=now)


def left_standing(run: ReconciliationRun) -> QuerySet[Discrepancy]:
    """Return what is open in the run's scope and is neither found nor ended by any run."""
    return scope.discrepancies(run).filter(status=DiscrepancyStatus.OPEN, kind__in=_NOT_OURS_TO_END)


def to_pull(run: ReconciliationRun) -> QuerySet[Discrepancy]:
    """Return what Stripe has decided already, as this run found it."""
    return Discrepancy.objects.filter(run=run, status=DiscrepancyStatus.OPEN, repair=RepairKind.PULL)
