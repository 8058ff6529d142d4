"""Repair what Stripe has decided already: fetch it anew and take it. Everything else waits for people.

A proposal that moves or forgives money becomes a correction, which a second person approves (product.md, "Interface").
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, QuerySet

from billing.discrepancies import end_discrepancies
from billing.incidents import record_incident
from billing.invoice_pull import pull_invoice
from billing.models import (
    CorrectionKind,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    EventStatus,
    Invoice,
    ReconciliationRun,
    RepairKind,
    StripeEvent,
)
from billing.payment_status import InvoiceDiffers, VersionChanged
from billing.reconciliation.compare import compare
from billing.reconciliation.found import to_pull
from billing.reconciliation.reading import read_chunk
from billing.stripe_gateway.refusal import OutboundRefused
from billing.stripe_gateway.replies import StripeRefused, StripeReplyUnusable, StripeUnavailable
from offices.locking import OfficeBusy

logger = structlog.get_logger(__name__)

Clock = Callable[[], datetime]

# What one request may take of a person's time.
ONE_REQUEST = timedelta(seconds=8)

# Which correction a proposal is asked for with. What is not here moves no money and one person may do it: send again,
# charge (the next close does it), tell Stripe the profile, make a new customer, look.
CORRECTION_OF: Mapping[RepairKind, CorrectionKind] = MappingProxyType(
    {
        RepairKind.CANCEL: CorrectionKind.CANCEL,
        RepairKind.REPLACE: CorrectionKind.REPLACE,
        RepairKind.CREDIT: CorrectionKind.CREDIT,
    }
)
_WAITING_NEWS = (EventStatus.PENDING, EventStatus.QUARANTINED, EventStatus.DEAD)


@dataclass(slots=True)
class Repaired:
    """What a repair did: invoices fetched, discrepancies ended, those left open by a code, whether Stripe was away."""

    pulled: int = 0
    ended: int = 0
    left: Counter[str] = field(default_factory=Counter)
    stripe_away: bool = False


class NotToPull(Exception):
    """It is no longer open, no run has seen it yet, or people have to decide about it."""


class NotRepaired(Exception):
    """Stripe was asked, and nothing was taken from it; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"nothing was changed: {code.replace('_', ' ')}")
        self.code = code


def pulled_with(discrepancy: Discrepancy) -> QuerySet[Discrepancy]:
    """Return the open discrepancies that one pull of this one's invoice would mend: the dry run. Empty: none would."""
    if discrepancy.run is None or discrepancy.invoice_id is None or discrepancy.repair != RepairKind.PULL:
        return Discrepancy.objects.none()
    return to_pull(discrepancy.run).filter(invoice=discrepancy.invoice_id)


def pull_one(*, discrepancy_id: UUID, actor: str, clock: Clock) -> Repaired:
    """Fetch the invoice of one discrepancy and take what Stripe has decided. Raises NotToPull, NotRepaired."""
    found = Discrepancy.objects.select_related("run").defer("note").filter(pk=discrepancy_id).first()
    if found is None or found.run is None or found.invoice_id is None or not pulled_with(found).exists():
        raise NotToPull("there is nothing that one look at Stripe would mend")
    done = Repaired()
    _pull(found.run, found.invoice_id, done, actor=actor, clock=clock)
    if done.stripe_away:
        raise NotRepaired("stripe_is_away")
    if not done.pulled:
        raise NotRepaired(next(iter(done.left), "stripe_does_not_list_it"))
    return done


def repair_run(*, run_id: UUID, actor: str, clock: Clock) -> Repaired:
    """Pull what the run found to pull, for as long as a request may take. Raises NotToPull, NotRepaired."""
    run = ReconciliationRun.objects.filter(pk=run_id, finished_at__isnull=False).first()
    if run is None or not to_pull(run).exists():
        raise NotToPull("there is nothing that a look at Stripe would mend")
    done = pull_all(run, actor=actor, clock=clock, until=clock() + ONE_REQUEST)
    ReconciliationRun.objects.filter(pk=run.pk).update(repaired=F("repaired") + done.ended)
    if done.stripe_away and not done.pulled:
        raise NotRepaired("stripe_is_away")
    return done


def needs_two_people(repair: RepairKind) -> bool:
    """Say whether a proposal moves or forgives money, so that a second person decides."""
    return repair in CORRECTION_OF


def pull_all(run: ReconciliationRun, *, actor: str, clock: Clock, until: datetime | None = None) -> Repaired:
    """Pull each invoice of the run once, however many differences it has; doing it again goes on with what is left."""
    done = Repaired()
    ids = list(to_pull(run).order_by("invoice").values_list("invoice", flat=True).distinct())
    for invoice_id in ids:
        if invoice_id is not None:
            _pull(run, invoice_id, done, actor=actor, clock=clock)
        if done.stripe_away or (until is not None and clock() >= until):
            break
    return done


def _pull(run: ReconciliationRun, invoice_id: UUID, done: Repaired, *, actor: str, clock: Clock) -> None:
    invoice = Invoice.objects.select_related("cycle", "office").defer("internal_note").get(pk=invoice_id)
    copy = read_chunk(run, [invoice]).copies.get(invoice_id)
    if copy is None:
        return
    # We may have lost the id; that the invoice there is ours is checked before anything is taken from it.
    invoice.stripe_invoice_id = copy.pk
    try:
        pull_invoice(invoice, actor=actor, clock=clock, money_back=True)
    except StripeUnavailable:
        done.stripe_away = True
        return
    except (StripeReplyUnusable, StripeRefused, InvoiceDiffers, VersionChanged, OfficeBusy) as error:
        done.left[getattr(error, "code", None) or type(error).__name__] += 1
        return
    except OutboundRefused as refused:
        record_incident(
            refused.refusal, call_site="reconciliation", actor=actor, now=clock(), office_id=invoice.office_id
        )
        done.left["refused_here"] += 1
        return
    done.pulled += 1
    _end(run, invoice_id, copy.pk, done, actor=actor, now=clock())


def _end(
    run: ReconciliationRun, invoice_id: UUID, stripe_id: str, done: Repaired, *, actor: str, now: datetime
) -> None:
    """End what is mended: what the same comparison does not find any more."""
    with transaction.atomic():
        waiting = StripeEvent.objects.filter(object_id=stripe_id, status__in=_WAITING_NEWS)
        # An event says which object to fetch, and it has been fetched.
        waiting.update(status=EventStatus.DONE, processed_at=now, error_code="")
        standing = _still_there(run, invoice_id)
        mended = to_pull(run).filter(invoice=invoice_id).exclude(kind__in=standing)
        done.ended += end_discrepancies(mended, status=DiscrepancyStatus.REPAIRED, actor=actor, now=now)
        done.left["still_there"] += to_pull(run).filter(invoice=invoice_id).count()
    logger.info("reconciliation_pulled")


def _still_there(run: ReconciliationRun, invoice_id: UUID) -> set[DiscrepancyKind]:
    invoice = Invoice.objects.select_related("cycle").defer("internal_note").get(pk=invoice_id)
    pairs = read_chunk(run, [invoice]).pairs(also_changed=True)
    return {finding.kind for ours, theirs in pairs for finding in compare(ours, theirs)}
