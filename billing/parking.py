"""Park an office that is in doubt: it stops, visible and with a reason, and the others go on."""

import uuid
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.chain import Fact, record
from billing.models import ParkedOffice, ParkingCode
from offices.audit_stream import office_stream
from offices.locking import lock_office
from offices.models import Office


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
