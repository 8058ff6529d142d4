"""What the monthly run does to a chunk of offices, set-based: open, close in order, carry over.

The caller holds the office locks and owns the transaction.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from audit.bulk_rows import update_all
from audit.chain import Fact, record_many
from billing.cycle_opening import missing_a_cycle, open_missing_cycles
from billing.cycle_origin import cycles_of_the_run
from billing.fail_points import FailPoint, reach
from billing.invoicing import close_invoices
from billing.line_items import insert_adjustments, insert_missing_charges
from billing.models import BillingCycle, Invoice, InvoiceStatus, InvoiceType
from billing.safety_bounds import check_charges, grown_suddenly
from offices.audit_stream import office_stream
from offices.models import Office
from offices.timeline import PriceBook
from patients.models import ActivityPeriod


@dataclass(slots=True)
class Tally:
    """What was done, added up: counts by name, cents by currency, offices that grew suddenly."""

    counts: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    grown: list[UUID] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what another chunk did."""
        self.counts.update(other.counts)
        self.billed.update(other.billed)
        self.grown.extend(other.grown)


def due_offices(as_of: datetime) -> QuerySet[Office]:
    """Return the offices, not parked, with a cycle to open, to carry over or to close by `as_of`."""
    return Office.objects.filter(is_behind(as_of), parked_at__isnull=True)


def is_behind(as_of: datetime) -> Q:
    """Say, from a query on offices, whether the run would do something for the office if it were not parked."""
    open_cycles = _open_cycles().filter(office=OuterRef("pk"))
    to_close = open_cycles.filter(end_at__lte=as_of)
    to_carry_over = open_cycles.filter(carried_over_at__isnull=True, start_at__lte=as_of)
    return Exists(to_close) | Exists(to_carry_over) | missing_a_cycle(as_of)


def bill_chunk(offices: Sequence[Office], *, as_of: datetime, actor: str, now: datetime, prices: PriceBook) -> Tally:
    """Bring these offices up to `as_of`: missed cycles are caught up in order, each as a timely run would have.

    Raises BoundBroken or NoPriceVersion; nothing of the chunk may be committed then.
    """
    reach(FailPoint.RUN_CHUNK_LOCKED)
    tally = Tally()
    office_ids = [office.pk for office in offices]
    opened = open_missing_cycles(offices, as_of=as_of, actor=actor, now=now, prices=prices)
    tally.counts["cycles_opened"] += len(opened)
    while due := _earliest_due(office_ids, as_of):
        tally.add(close_cycles(due, actor=actor, now=now))
    carried = _open_cycles().filter(office__among=office_ids, carried_over_at__isnull=True, start_at__lte=as_of)
    to_carry_over = list(carried.only("office"))
    tally.counts["lines_added"] += insert_missing_charges(to_carry_over, now=now)
    BillingCycle.objects.filter(pk__among=[cycle.pk for cycle in to_carry_over]).update(carried_over_at=now)
    return tally


def _open_cycles() -> QuerySet[BillingCycle]:
    """Cycles that the run may touch: not closed, and not a backfill's (decisions.md 11)."""
    return cycles_of_the_run().filter(closed_at__isnull=True)


def _earliest_due(office_ids: Sequence[UUID], as_of: datetime) -> list[BillingCycle]:
    """Return the oldest ended and unclosed cycle of each office: months are closed one after the other."""
    earlier = _open_cycles().filter(office=OuterRef("office"), index__lt=OuterRef("index"))
    return list(_open_cycles().filter(~Exists(earlier), office__among=office_ids, end_at__lte=as_of))


def close_cycles(cycles: Sequence[BillingCycle], *, actor: str, now: datetime, with_adjustments: bool = True) -> Tally:
    """Charge what is missing, compare with an independent count, freeze, and queue the invoices of these cycles.

    `with_adjustments` puts what became known of earlier closed cycles on the same invoices: at most one cycle of each
    office then. Raises BoundBroken.
    """
    drafts = Invoice.objects.filter(
        Q(
            cycle__among=[cycle.pk for cycle in cycles],
            invoice_type=InvoiceType.MONTHLY,
            status=InvoiceStatus.DRAFT,
            closed_at__isnull=True,
        )
    )
    invoice_of = dict(drafts.values_list("cycle", "pk"))
    # A cycle whose draft was canceled is waived: it closes without an invoice (decisions.md 5).
    charged = [cycle for cycle in cycles if cycle.pk in invoice_of]
    lines = insert_missing_charges(charged, now=now)
    if with_adjustments:
        lines += insert_adjustments({cycle.office_id: invoice_of[cycle.pk] for cycle in charged}, now=now)
    reach(FailPoint.RUN_LINES_INSERTED)
    counts = check_charges(charged)
    grown = grown_suddenly(charged, counts)
    closed = close_invoices(list(invoice_of.values()), actor=actor, now=now)
    _mark_closed(cycles, counts, actor=actor, now=now)
    return Tally(
        Counter(cycles_closed=len(cycles), lines_added=lines, invoices_closed=closed.count),
        Counter(closed.billed),
        grown,
    )


def _mark_closed(cycles: Sequence[BillingCycle], counts: dict[int, int], *, actor: str, now: datetime) -> None:
    if not cycles:
        return
    # Period ids grow and the offices are locked: the newest of all is newer than each one counted here, and older than
    # whatever is recorded for these offices later.
    newest = ActivityPeriod.objects.aggregate(newest=Max("pk"))["newest"]
    for cycle in cycles:
        cycle.closed_at = now
        cycle.carried_over_at = cycle.carried_over_at or now
        cycle.last_period_id = newest or 0
        cycle.patient_count = counts.get(cycle.pk, 0)
    update_all(cycles, ["closed_at", "carried_over_at", "last_period_id", "patient_count"])
    references = dict(Office.objects.filter(pk__among={c.office_id for c in cycles}).values_list("pk", "reference"))
    record_many([_closed_fact(cycle, references[cycle.office_id]) for cycle in cycles], actor=actor, now=now)


def _closed_fact(cycle: BillingCycle, reference: str) -> Fact:
    payload = {"cycle": cycle.key, "patients": cycle.patient_count, "last_period": cycle.last_period_id}
    return Fact(office_stream(reference), "cycle.closed", payload)
