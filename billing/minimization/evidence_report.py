"""What a privacy officer hands to an auditor for a month, derived from the tables alone: anybody can derive it again.

Requests that left and requests that were stopped, the texts and profile values that ever left beside what is allowed,
incidents, canary runs, policy versions, and one digest over the heads of the audit chain as they stood when it ended.
A text that is not in the catalogue is counted and never quoted: it could be what must not be written down.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import F, OuterRef, Subquery

from audit.models import AuditEntry
from billing.minimization.egress_evidence import egress_evidence
from billing.minimization.evidence_profiles import ProfileEvidence, profile_evidence
from billing.models import CanaryRun, Incident, OutboundRequest
from billing.stripe_gateway.outbound_values import CATALOGUE
from billing.stripe_gateway.policy import POLICY_VERSION

_MONTH = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")
_HOUR = timedelta(hours=1)  # how often the canary is due


class MonthInvalid(ValueError):
    """Not a month such as 2026-03, or one that has not begun."""


@dataclass(frozen=True, slots=True)
class IncidentEvidence:
    """One incident, without a value; `finding` is the first word of its disposition, empty while it is open."""

    incident: str
    at: str
    reason: str
    operation: str
    parameter: str
    call_site: str
    policy_version: str
    alerted_at: str | None
    disposed_at: str | None
    disposed_by: str
    finding: str


@dataclass(frozen=True, slots=True)
class CanaryEvidence:
    """How often the canary was tried and blocked, and in how many of the month's hours."""

    runs: int
    blocked: int
    hours: int
    hours_with_a_run: int

    @property
    def uptime_percent(self) -> float:
        """Hours with a run, of all hours."""
        return round(100 * self.hours_with_a_run / self.hours, 2) if self.hours else 100.0


@dataclass(frozen=True, slots=True)
class ChainEvidence:
    """How many streams and entries there were at the month's end, and one digest over all heads."""

    streams: int
    entries: int
    digest: str


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """All that the report says; `attention` lists what keeps the month from being clean."""

    month: str
    complete: bool
    inspected: int
    sent_by_operation: dict[str, int]
    blocked_by_reason: dict[str, int]
    policy_versions: list[str]
    current_policy_version: str
    descriptions_sent: list[str]
    descriptions_not_in_catalogue: int
    altered: int
    profiles: ProfileEvidence
    incidents: list[IncidentEvidence]
    canary: CanaryEvidence
    chain: ChainEvidence
    attention: list[str] = field(default_factory=list)


def evidence_report(month: str, *, now: datetime) -> EvidenceReport:
    """Derive the report of a month (UTC); the present month counts up to `now`. Raises MonthInvalid."""
    start, end = _bounds(month, now)
    until = min(end, now)
    sent = OutboundRequest.objects.filter(sent_at__gte=start, sent_at__lt=until)
    incidents = list(Incident.objects.filter(at__gte=start, at__lt=until).order_by("at", "pk"))
    blocked = Counter(each.reason for each in incidents if each.call_site != "canary")
    operations = Counter(sent.values_list("operation", flat=True).iterator())
    egress = egress_evidence(until)
    report = EvidenceReport(
        month=month,
        complete=now >= end,
        inspected=operations.total() + blocked.total(),
        sent_by_operation=dict(sorted(operations.items())),
        blocked_by_reason=dict(sorted(blocked.items())),
        policy_versions=sorted(set(sent.values_list("policy_version", flat=True).distinct())),
        current_policy_version=POLICY_VERSION,
        descriptions_sent=sorted(egress.descriptions & CATALOGUE),
        descriptions_not_in_catalogue=len(egress.descriptions - CATALOGUE),
        altered=egress.altered,
        profiles=profile_evidence(egress.profile_values, fallback_email=settings.BILLING_FALLBACK_EMAIL),
        incidents=[_incident(each) for each in incidents],
        canary=_canary(start, until),
        chain=_chain(until),
    )
    report.attention.extend(_attention(report))
    return report


def _bounds(month: str, now: datetime) -> tuple[datetime, datetime]:
    if not _MONTH.fullmatch(month):
        raise MonthInvalid("a month is written like 2026-03")
    year, number = map(int, month.split("-"))
    start = datetime(year, number, 1, tzinfo=UTC)
    if start >= now:
        raise MonthInvalid("the month has not begun")
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _incident(row: Incident) -> IncidentEvidence:
    return IncidentEvidence(
        incident=str(row.pk),
        at=row.at.isoformat(),
        reason=row.reason,
        operation=row.operation,
        parameter=row.parameter,
        call_site=row.call_site,
        policy_version=row.policy_version,
        alerted_at=row.alerted_at.isoformat() if row.alerted_at else None,
        disposed_at=row.disposed_at.isoformat() if row.disposed_at else None,
        disposed_by=row.disposed_by,
        # The words after it are staff's own and stay where they are.
        finding=_finding(row.disposition),
    )


def _finding(disposition: str) -> str:
    code = disposition.partition(":")[0]
    return code if not code or re.fullmatch(r"[a-z_]{3,30}", code) else "in_words"


def _canary(start: datetime, until: datetime) -> CanaryEvidence:
    """The time before the very first run, when the product was not there yet, is no gap."""
    first = CanaryRun.objects.order_by("at").values_list("at", flat=True).first()
    since = max(start, first.replace(minute=0, second=0, microsecond=0)) if first else start
    runs = list(CanaryRun.objects.filter(at__gte=start, at__lt=until).values_list("at", "blocked"))
    hours = max(-((since - until) // _HOUR), 0)
    return CanaryEvidence(
        runs=len(runs),
        blocked=sum(blocked for _at, blocked in runs),
        hours=hours,
        hours_with_a_run=len({(at - since) // _HOUR for at, _blocked in runs}),
    )


def _chain(until: datetime) -> ChainEvidence:
    """Take the head of each stream as it stood then, so that a report made later says the same."""
    then = AuditEntry.objects.filter(at__lt=until)
    last = then.filter(stream=OuterRef("stream")).order_by("-seq").values("seq")[:1]
    heads = then.annotate(last=Subquery(last)).filter(seq=F("last")).order_by("stream")
    digest, streams = hashlib.sha256(), 0
    for stream, seq, head in heads.values_list("stream", "seq", "digest").iterator():
        digest.update(f"{stream}\n{seq}\n{head}\n".encode())
        streams += 1
    return ChainEvidence(streams, then.count(), digest.hexdigest())


def _attention(report: EvidenceReport) -> Iterator[str]:
    if report.altered:
        yield "evidence_altered"
    if report.descriptions_not_in_catalogue:
        yield "description_not_in_catalogue"
    if report.profiles.not_approved:
        yield "profile_value_not_approved"
    if report.canary.blocked < report.canary.runs:
        yield "canary_not_blocked"
    if not report.canary.runs:
        yield "canary_never_tried"
    if any(each.disposed_at is None for each in report.incidents):
        yield "incident_open"
