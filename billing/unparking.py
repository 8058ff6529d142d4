"""Release a parked office: a person looked into it and says why it may go on."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from billing.customers import queue_customers
from billing.models import Invoice, InvoiceStatus, MessageStatus, OutboxMessage, ParkedOffice
from billing.parking import LONGEST_REASON, ReasonMissing
from billing.wake_up import Bell, ring_after_commit
from offices.audit_stream import office_stream
from offices.locking import lock_office
from offices.models import Office


class OfficeNotParked(Exception):
    """There is nothing to release."""


@transaction.atomic
def unpark_office(*, office_id: UUID, reason: str, actor: str, now: datetime) -> None:
    """Let billing and delivery of the office go on, its parked messages too.

    What parked it and still holds parks it again at once. Raises OfficeNotParked, ReasonMissing, and the office
    lock's OfficeNotFound and OfficeBusy.
    """
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise ReasonMissing(f"say in 1 to {LONGEST_REASON} characters why the office may go on")
    office = lock_office(office_id)
    released = ParkedOffice.objects.filter(office=office, unparked_at__isnull=True).update(
        unparked_at=now, unparked_by=actor, unpark_reason=reason
    )
    if not released:
        raise OfficeNotParked("the office is not parked")
    Office.objects.filter(pk=office.pk).update(parked_at=None)
    OutboxMessage.objects.filter(office=office, status=MessageStatus.PARKED).update(
        status=MessageStatus.PENDING, next_attempt_at=now, error_code=""
    )
    # The reason stays on the row: staff's own words do not enter the chain, where nothing can be erased.
    record(Fact(office_stream(office.reference), "office.unparked"), actor=actor, now=now)
    waiting = Invoice.objects.filter(office=office, closed_at__isnull=False, status=InvoiceStatus.DRAFT)
    if waiting.exists():
        queue_customers([office.pk], actor=actor, now=now)
    ring_after_commit(Bell.OUTBOX)
