"""Park an office that is in doubt, and let a person release it: the run goes on with the others."""

import uuid
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from billing.audit_stream import office_stream
from billing.models import MessageStatus, OutboxMessage, ParkedOffice, ParkingCode
from billing.wake_up import Bell, ring_after_commit
from offices.locking import lock_office
from offices.models import Office


class OfficeNotParked(Exception):
    """There is nothing to release."""


@transaction.atomic
def park_office(*, office_id: UUID, code: ParkingCode, actor: str, now: datetime) -> UUID:
    """Stop billing and delivery for the office; return the incident id under which the log tells more.

    Parking a parked office changes nothing and returns the first incident.
    """
    office = lock_office(office_id)
    standing = ParkedOffice.objects.filter(office=office, unparked_at__isnull=True).first()
    if standing is not None:
        return standing.incident_id
    incident_id = uuid.uuid4()
    ParkedOffice.objects.create(office=office, code=code, incident_id=incident_id, parked_at=now)
    Office.objects.filter(pk=office.pk).update(parked_at=now)
    fact = Fact(office_stream(office.reference), "office.parked", {"code": code, "incident": str(incident_id)})
    record(fact, actor=actor, now=now)
    return incident_id


@transaction.atomic
def unpark_office(*, office_id: UUID, reason: str, actor: str, now: datetime) -> None:
    """Release the office and its parked messages, for a reason a person gives; raise OfficeNotParked."""
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
    ring_after_commit(Bell.OUTBOX)
