"""Outbox to Stripe: take the messages that wait, one after the other, and say what came of each."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.db import transaction

from billing import delivery_steps
from billing.correction_delivery import deliver_correction
from billing.customer_delivery import Superseded, deliver_customer, deliver_profile
from billing.customers import queue_customers
from billing.delivery_steps import (
    Clock,
    LeaseLost,
    StripeObjectUnexpected,
    StripeTotalDiffers,
    lease_next,
    waiting_messages,
)
from billing.documents import DocumentUnreadable
from billing.fail_points import FailPoint, reach
from billing.incidents import record_incident
from billing.invoice_delivery import deliver_invoice
from billing.lost_connection import is_lost_connection
from billing.models import MessageKind, MessageStatus, OutboxMessage, ParkingCode
from billing.parking import park_office
from billing.payment_status import InvoiceDiffers, VersionChanged
from billing.restored_books import is_behind_anchors
from billing.stripe_gateway.outbound_values import OutboundValueInvalid
from billing.stripe_gateway.refusal import OutboundRefused
from billing.stripe_gateway.replies import StripeRefused, StripeReplyUnusable, StripeUnavailable
from offices.locking import OfficeBusy, lock_office

logger = structlog.get_logger(__name__)

ACTOR = "system:delivery"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A message that did not get through: tried again by itself, or parked for a person."""

    office: str
    code: str
    parked: bool


@dataclass(slots=True)
class DeliverySummary:
    """What a drain did: counts by name and the messages that did not get through."""

    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    stands_still: bool = False  # a backup was restored and nobody has noted it: `billing/restored_books.py`

    @property
    def not_authorized(self) -> bool:
        """Whether Stripe did not accept our API key."""
        return any(trouble.code == "not_authorized" for trouble in self.troubles)


def deliver_due(*, clock: Clock, limit: int | None = None, until: datetime | None = None) -> DeliverySummary:
    """Send what waits until nothing is due, `limit` messages were taken or it is `until`.

    Safe to run twice, and twice at once. Stops when Stripe does not accept our key: the next message would fail too.
    Sends nothing while the anchors show that the database was rolled back: what it does not know could be sent twice.
    """
    summary = DeliverySummary(stands_still=is_behind_anchors())
    if summary.stands_still:
        logger.error("delivery_stands_still")
        return summary
    while limit is None or summary.counts["taken"] < limit:
        message = lease_next(clock())
        if message is None:
            break
        summary.counts["taken"] += 1
        _deliver(message, clock, summary)
        if summary.not_authorized or (until is not None and clock() >= until):
            break
    return summary


def preview(*, clock: Clock) -> DeliverySummary:
    """Count what would be sent, without a lease and without a request (`--dry-run`)."""
    if is_behind_anchors():
        return DeliverySummary(stands_still=True)
    return DeliverySummary(Counter(taken=waiting_messages(clock()).count()))


def _deliver(message: OutboxMessage, clock: Clock, summary: DeliverySummary) -> None:
    try:
        _take(message, clock)
    except LeaseLost:
        summary.counts["lease_lost"] += 1
        return
    except Superseded:
        _supersede(message, clock())
        summary.counts["superseded"] += 1
        return
    except (StripeUnavailable, StripeReplyUnusable, OfficeBusy, VersionChanged) as error:
        _try_later(message, error, clock, summary)
        return
    except Exception as error:  # whatever it is, the message must not stay leased, and the others go on
        if is_lost_connection(error):
            raise
        try:
            _park(message, error, clock, summary)
        except OfficeBusy as busy:
            _try_later(message, busy, clock, summary)
        return
    delivery_steps.release(message, status=MessageStatus.DONE, now=clock())
    reach(FailPoint.DELIVERY_MESSAGE_DONE)
    summary.counts["delivered"] += 1
    summary.counts[f"{message.kind}s_delivered"] += 1


def _supersede(message: OutboxMessage, now: datetime) -> None:
    """Put the message away and let a new customer message say what holds now; profiles were queued by who approved."""
    delivery_steps.release(message, status=MessageStatus.DEAD, now=now, code="superseded")
    if message.kind == MessageKind.CUSTOMER:
        with transaction.atomic():
            lock_office(message.office_id)
            queue_customers([message.office_id], actor=ACTOR, now=now)


def _take(message: OutboxMessage, clock: Clock) -> None:
    if message.kind == MessageKind.CUSTOMER:
        deliver_customer(message, clock, actor=ACTOR)
    elif message.kind == MessageKind.PROFILE:
        deliver_profile(message, clock)
    elif message.kind == MessageKind.CORRECTION:
        deliver_correction(message, clock, actor=ACTOR)
    else:
        deliver_invoice(message, clock, actor=ACTOR)


def _try_later(message: OutboxMessage, error: Exception, clock: Clock, summary: DeliverySummary) -> None:
    code = getattr(error, "code", "office_busy")
    retry_after = getattr(error, "retry_after", None)
    delivery_steps.release(message, status=MessageStatus.PENDING, now=clock(), code=code, retry_after=retry_after)
    summary.counts["retry_later"] += 1
    summary.troubles.append(Trouble(message.office.reference, code, parked=False))


def _park(message: OutboxMessage, error: Exception, clock: Clock, summary: DeliverySummary) -> None:
    parking, code = _parking_code(error)
    now = clock()
    with transaction.atomic():
        if isinstance(error, OutboundRefused):
            record_incident(
                error.refusal,
                call_site="delivery",
                actor=ACTOR,
                now=now,
                office_id=message.office_id,
                message=message,
            )
        incident = park_office(office_id=message.office_id, code=parking, actor=ACTOR, now=now)
        delivery_steps.release(message, status=MessageStatus.PARKED, now=now, code=code)
    # Codes and ids only: an exception's text could quote what must not be written down.
    logger.error("delivery_parked", code=parking, incident=incident, error=type(error))
    summary.counts["parked"] += 1
    summary.troubles.append(Trouble(message.office.reference, code, parked=True))


def _parking_code(error: Exception) -> tuple[ParkingCode, str]:
    """Return why the office is parked, and the code kept on the message."""
    if isinstance(error, OutboundRefused):
        return ParkingCode.REQUEST_BLOCKED, error.reason.value
    if isinstance(error, StripeTotalDiffers):
        return ParkingCode.STRIPE_TOTAL_DIFFERS, ParkingCode.STRIPE_TOTAL_DIFFERS
    if isinstance(error, StripeObjectUnexpected | InvoiceDiffers):
        return ParkingCode.STRIPE_OBJECT_UNEXPECTED, ParkingCode.STRIPE_OBJECT_UNEXPECTED
    if isinstance(error, StripeRefused):
        return ParkingCode.STRIPE_REFUSED, error.code
    if isinstance(error, OutboundValueInvalid | DocumentUnreadable):
        return ParkingCode.REQUEST_BLOCKED, "document_unreadable"
    return ParkingCode.UNEXPECTED_ERROR, ParkingCode.UNEXPECTED_ERROR
