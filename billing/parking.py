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

LONGEST_REASON = 200  # characters, as the column keeps them


class OfficeAlreadyParked(Exception):
    """The office stands still already."""


class ReasonMissing(ValueError):
    """A person says in 1 to LONGEST_REASON characters why an office is stopped or goes on."""


@transaction.atomic
def park_office(*, office_id: UUID, code: ParkingCode, actor: str, now: datetime) -> UUID:
    """Stop billing and delivery for the office; return the incident id under which the log tells more.

    Parking a parked office changes nothing and returns the first incident.
    """
    office = lock_office(office_id)
    standing = _standing(office)
    return standing.incident_id if standing else _park(office, ParkedOffice(code=code), actor=actor, now=now)


@transaction.atomic
def stop_office(*, office_id: UUID, reason: str, actor: str, now: datetime) -> UUID:
    """Park the office because a person says so; what is on its way to Stripe at this moment still arrives.

    The reason stays on the row: staff's own words do not enter the chain. Raises ReasonMissing, OfficeAlreadyParked,
    and the office lock's OfficeNotFound and OfficeBusy.
    """
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise ReasonMissing(f"say in 1 to {LONGEST_REASON} characters why the office is stopped")
    office = lock_office(office_id)
    if _standing(office) is not None:
        raise OfficeAlreadyParked("the office is parked already")
    row = ParkedOffice(code=ParkingCode.STOPPED_BY_STAFF, parked_by=actor, park_reason=reason.strip())
    return _park(office, row, actor=actor, now=now)


def _standing(office: Office) -> ParkedOffice | None:
    return ParkedOffice.objects.filter(office=office, unparked_at__isnull=True).first()


def _park(office: Office, row: ParkedOffice, *, actor: str, now: datetime) -> UUID:
    incident_id, code = uuid.uuid4(), ParkingCode(row.code)
    row.office, row.incident_id, row.parked_at = office, incident_id, now
    row.save(force_insert=True)
    Office.objects.filter(pk=office.pk).update(parked_at=now)
    fact = Fact(office_stream(office.reference), "office.parked", {"code": code, "incident": str(incident_id)})
    record(fact, actor=actor, now=now)
    return incident_id
