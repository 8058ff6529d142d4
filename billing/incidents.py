"""A request was blocked: write the incident, tell the audit chain, park the office, and let an alert go out.

Runtime blocks should be zero, so every one counts as a security incident (privacy.md, "A blocked attempt").
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from django.db import transaction

from audit.chain import Fact, record
from audit.seal import PayloadValue
from billing.models import Incident, OutboxMessage, ParkingCode
from billing.parking import park_office
from billing.stripe_gateway.policy import POLICY_VERSION
from billing.stripe_gateway.refusal import Refusal
from offices.audit_stream import office_stream
from offices.models import Office

SECURITY_STREAM = "security"  # for attempts that belong to no office


CANARY_NOT_BLOCKED = "canary_not_blocked"  # the reason of an incident that the guard did not report but is about it
LONGEST_DISPOSITION = 200


class Finding(StrEnum):
    """What a person found out about an incident; the first word of its disposition, and all that the report shows."""

    DEFECT_MENDED = "defect_mended"
    ROW_WAS_CHANGED = "row_was_changed"
    ATTACK = "attack"
    OPERATING_ERROR = "operating_error"
    DRILL = "drill"


def as_disposition(finding: Finding, note: str) -> str:
    """Return what is kept of an incident: the finding, and after a colon what was done, in words."""
    return ": ".join(filter(None, [finding.value, note.strip()]))


class DispositionInvalid(ValueError):
    """The words are missing or longer than what is kept."""


class IncidentNotOpen(Exception):
    """The incident is unknown or a person has dealt with it already."""


@transaction.atomic
def record_incident(
    refusal: Refusal,
    *,
    call_site: str,
    actor: str,
    now: datetime,
    office_id: UUID | None = None,
    message: OutboxMessage | None = None,
) -> Incident:
    """Keep what the guard may tell of the blocked request, and stop the office it was for."""
    incident = Incident.objects.create(
        id=refusal.incident,
        at=now,
        policy_version=POLICY_VERSION,
        reason=refusal.reason.value,
        operation=refusal.operation or "",
        path_template=refusal.path_template or "",
        parameter=refusal.parameter or "",
        call_site=call_site,
        actor=actor,
        office_id=office_id,
        message=message,
    )
    stream = SECURITY_STREAM
    if office_id is not None:
        park_office(office_id=office_id, code=ParkingCode.REQUEST_BLOCKED, actor=actor, now=now)
        stream = office_stream(Office.objects.values_list("reference", flat=True).get(pk=office_id))
    payload: dict[str, PayloadValue] = {"incident": str(incident.pk), "reason": incident.reason}
    record(Fact(stream, "request.blocked", payload), actor=actor, now=now)
    return incident


@transaction.atomic
def record_canary_failure(*, actor: str, now: datetime) -> Incident:
    """Keep that a synthetic leak was not blocked as it must be: the worst incident there is."""
    incident = Incident.objects.create(
        id=uuid4(),
        at=now,
        policy_version=POLICY_VERSION,
        reason=CANARY_NOT_BLOCKED,
        call_site="canary",
        actor=actor,
    )
    payload: dict[str, PayloadValue] = {"incident": str(incident.pk), "reason": incident.reason}
    record(Fact(SECURITY_STREAM, "canary.not_blocked", payload), actor=actor, now=now)
    return incident


@transaction.atomic
def dispose_incident(*, incident_id: UUID, disposition: str, actor: str, now: datetime) -> None:
    """Record what a person found out and did about the incident; raise IncidentNotOpen, DispositionInvalid."""
    if not disposition.strip() or len(disposition) > LONGEST_DISPOSITION:
        raise DispositionInvalid(f"say in 1 to {LONGEST_DISPOSITION} characters what was found out and done")
    changed = Incident.objects.filter(pk=incident_id, disposed_at__isnull=True).update(
        disposed_at=now, disposed_by=actor, disposition=disposition
    )
    if not changed:
        raise IncidentNotOpen("there is no open incident with this id")
    record(Fact(SECURITY_STREAM, "incident.disposed", {"incident": str(incident_id)}), actor=actor, now=now)
