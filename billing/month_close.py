"""Close a month: look at what still blocks it, have two people sign what was billed, and lock it.

run -> review -> reconcile -> sign -> lock. Late facts become adjustments of the open cycle; what Stripe says of the
payments of a locked month still comes in.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import transaction
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from audit.chain import Fact, record
from billing.models import (
    OPEN_CORRECTIONS,
    BillingCycle,
    Correction,
    Discrepancy,
    DiscrepancyStatus,
    Invoice,
    InvoiceOrigin,
    InvoiceStatus,
    MonthClose,
    ReconciliationRun,
)
from billing.run_chunk import due_offices, is_behind
from offices.models import Office

STREAM = "billing:months"


class MonthAlreadyLocked(Exception):
    """Two people have signed; what comes now belongs to a later month."""


class MonthNotReady(Exception):
    """Something still blocks the month; `blocking` says what, and how much of it."""

    def __init__(self, blocking: list["Check"]) -> None:
        super().__init__("the month cannot be signed yet")
        self.blocking = blocking


class MonthChanged(Exception):
    """What would be signed is not what the person saw: look again."""


class SecondPersonNeeded(Exception):
    """Who signed first cannot sign a second time."""


class CheckCode(StrEnum):
    """What must be in order before a month is signed."""

    NO_CYCLES = "no_cycles"
    CYCLES_NOT_CLOSED = "cycles_not_closed"
    OFFICES_DUE = "offices_due"
    INVOICES_NOT_SENT = "invoices_not_sent"
    OFFICES_PARKED = "offices_parked"
    NOT_RECONCILED = "not_reconciled"
    DISCREPANCIES_OPEN = "discrepancies_open"
    CORRECTIONS_OPEN = "corrections_open"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to be in order; `count` is how many stand in the way."""

    code: CheckCode
    count: int

    @property
    def blocks(self) -> bool:
        """Whether the month must wait for it."""
        return self.count > 0


def checks(key: str, *, now: datetime) -> list[Check]:
    """Return every check of the month, passed or not; each is one cheap query."""
    cycles = BillingCycle.objects.filter(key=key)
    counted = cycles.aggregate(all=Count("pk"), open=Count("pk", filter=Q(closed_at__isnull=True)))
    return [
        Check(CheckCode.NO_CYCLES, 0 if counted["all"] else 1),
        Check(CheckCode.CYCLES_NOT_CLOSED, counted["open"]),
        Check(CheckCode.OFFICES_DUE, due_offices(now).count()),
        Check(CheckCode.INVOICES_NOT_SENT, _of_month(key).filter(status=InvoiceStatus.DRAFT).count()),
        Check(CheckCode.OFFICES_PARKED, _parked(cycles, now).count()),
        Check(CheckCode.NOT_RECONCILED, 0 if _is_reconciled(key) else 1),
        Check(
            CheckCode.DISCREPANCIES_OPEN,
            Discrepancy.objects.filter(cycle_key=key, status=DiscrepancyStatus.OPEN).count(),
        ),
        Check(
            CheckCode.CORRECTIONS_OPEN,
            Correction.objects.filter(invoice__cycle__key=key, status__in=OPEN_CORRECTIONS).count(),
        ),
    ]


def _parked(cycles: QuerySet[BillingCycle], now: datetime) -> QuerySet[Office]:
    """Return the parked offices of the month, and those whose cycle of it may not have been opened yet.

    Once the month is locked it could not be any more.
    """
    return Office.objects.filter(Q(pk__in=cycles.values("office")) | is_behind(now), parked_at__isnull=False)


def _of_month(key: str) -> QuerySet[Invoice]:
    return Invoice.objects.filter(cycle__key=key).exclude(origin=InvoiceOrigin.BACKFILL, closed_at__isnull=True)


def _is_reconciled(key: str) -> bool:
    """Say whether a whole reconciliation of all offices began after the month's last close.

    A dry run keeps nothing of what it finds, and a run of what was closed lately may not reach back to the month.
    """
    closed = BillingCycle.objects.filter(key=key).aggregate(first=Min("closed_at"), last=Max("closed_at"))
    if closed["last"] is None:
        return False
    runs = ReconciliationRun.objects.filter(finished_at__isnull=False, office__isnull=True, cycle_key__in=["", key])
    reaching = Q(since__isnull=True) | Q(since__lte=closed["first"])
    # Stripe is asked for a window of time; the nightly check of the books against the log leaves a row with none.
    asked = Q(window_until__gt=F("window_from"))
    return runs.filter(reaching & asked, dry_run=False, started_at__gte=closed["last"]).exists()


@transaction.atomic
def sign_month(*, key: str, actor: str, now: datetime, seen: str | None = None) -> MonthClose:
    """Sign the month; the second person's signature locks it. Return the close.

    What was billed is written down with the first signature; if it changed before the second, the month is signed
    anew. `seen` is what the person was shown (`what_is_signed`). Raises MonthAlreadyLocked, MonthNotReady,
    MonthChanged, SecondPersonNeeded.
    """
    close = MonthClose.objects.select_for_update().filter(key=key).first()
    if close is not None and close.locked_at is not None:
        raise MonthAlreadyLocked("two people have signed this month already")
    blocking = [check for check in checks(key, now=now) if check.blocks]
    if blocking:
        raise MonthNotReady(blocking)
    signed = what_is_signed(key)
    if seen is not None and seen != signed:
        raise MonthChanged("what was billed changed since it was looked at")
    if close is None or close.signed != signed:
        return _sign_first(key, signed, actor, now)
    if close.first_signed_by == actor:
        raise SecondPersonNeeded("another person has to sign as the second one")
    close.second_signed_by, close.locked_at = actor, now
    close.save(update_fields=["second_signed_by", "locked_at"])
    record(Fact(STREAM, "month.locked", {"cycle": key, "signed": signed}), actor=actor, now=now)
    return close


def _sign_first(key: str, signed: str, actor: str, now: datetime) -> MonthClose:
    fields = {"first_signed_by": actor, "first_signed_at": now, "signed": signed}
    close, _created = MonthClose.objects.update_or_create(key=key, defaults=fields)
    record(Fact(STREAM, "month.signed", {"cycle": key, "signed": signed}), actor=actor, now=now)
    return close


def what_is_signed(key: str) -> str:
    """Return the number of invoices and their totals by currency, as canonical text."""
    billed = _of_month(key).exclude(status=InvoiceStatus.CANCELED)
    totals: Counter[str] = Counter()
    number = 0
    for currency, count, total in _by_currency(billed):
        number += count
        totals[currency] += total or 0
    return json.dumps({"invoices": number, "total_cents": dict(totals)}, sort_keys=True)


def _by_currency(invoices: QuerySet[Invoice]) -> Iterator[tuple[str, int, int | None]]:
    rows = invoices.order_by("currency").values_list("currency")
    yield from rows.annotate(number=Count("pk"), total=Sum("total_cents"))
