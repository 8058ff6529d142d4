"""Tell somebody about each incident, and each time the sealed account is opened: one small message to a web address,
with nothing in it about anybody.

The row is the queue: `alerted_at` is null until one alert went out. So nothing is lost; a crash between sending and
writing it down sends a second alert with the same incident id. Once a person has dealt with it, none is due.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import requests
import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import QuerySet

from billing.models import EmergencyOpening, Incident

logger = structlog.get_logger(__name__)

# Https, or this machine in plain: a sidecar that passes alerts on, or a test.
_ADDRESS = re.compile(r"https://[!-~]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[1-9][0-9]{0,4})?(?:/[!-~]*)?")
_TIMEOUT = (5, 10)  # seconds to connect, and to answer
_AT_ONCE = 20  # alerts of one sweep; the next one is a minute away
# The pause belongs to the address, not to an incident: when it fails, it fails for all of them. Kept in the cache;
# a lost cache only means that the next sweep tries at once.
EMERGENCY = "emergency_access"  # the reason in the message that the sealed account was opened
_FAILURES, _PAUSED = "alerts:failures", "alerts:paused"
LONGEST_PAUSE = timedelta(minutes=15)  # an alert that comes an hour late is none
_FORGET_FAILURES = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AlertSweep:
    """What one sweep did: alerts that went out, and incidents of which nobody was told yet."""

    sent: int
    waiting: int


class AlertsInTransaction(RuntimeError):
    """Nothing goes over the network inside a transaction (architecture rule 6)."""


def waiting_alerts() -> int:
    """Return how many incidents nobody was told of or has dealt with, and openings of which nobody was told."""
    return _waiting().count() + _openings().count()


def is_usable(address: str) -> bool:
    """Tell whether alerts may be sent to this address: https, or plain http on loopback."""
    return _ADDRESS.fullmatch(address) is not None


def send_alerts(*, now: datetime) -> AlertSweep:
    """Send what waits, oldest first, until all is sent or one fails; then pause, up to a quarter of an hour."""
    sent, address = 0, settings.ALERT_WEBHOOK_URL
    if not is_usable(address):
        if waiting := waiting_alerts():
            # The line is the alert then; it comes back with each sweep until a person deals with the incidents.
            logger.error("incidents_without_alert_address", count=waiting)
        return AlertSweep(sent, waiting)
    if transaction.get_connection().in_atomic_block:
        raise AlertsInTransaction("alerts go out after the commit")
    if not _is_paused():
        due: list[Incident | EmergencyOpening] = [*_openings().order_by("opened_at")[:_AT_ONCE]]
        for row in [*due, *_waiting().order_by("at")[:_AT_ONCE]]:
            if not _post(address, row):
                _pause()
                break
            _note_told(row, now=now)
            sent += 1
        else:
            _unpause()
    return AlertSweep(sent, waiting_alerts())


def _waiting() -> QuerySet[Incident]:
    return Incident.objects.filter(alerted_at__isnull=True, disposed_at__isnull=True)


def _openings() -> QuerySet[EmergencyOpening]:
    return EmergencyOpening.objects.filter(alerted_at__isnull=True)


def _note_told(row: Incident | EmergencyOpening, *, now: datetime) -> None:
    if isinstance(row, Incident):
        Incident.objects.filter(pk=row.pk, alerted_at__isnull=True).update(alerted_at=now)
    else:
        EmergencyOpening.objects.filter(pk=row.pk, alerted_at__isnull=True).update(alerted_at=now)


def _message(row: Incident | EmergencyOpening) -> dict[str, str]:
    if isinstance(row, EmergencyOpening):
        return {"opening": str(row.pk), "reason": EMERGENCY, "at": row.opened_at.isoformat()}
    return {
        "incident": str(row.pk),
        "reason": row.reason,
        "at": row.at.isoformat(),
        "policy_version": row.policy_version,
    }


def _post(address: str, row: Incident | EmergencyOpening) -> bool:
    body = _message(row)
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy, no `.netrc` of the machine
            # Streamed and closed unread: what the other side answers is of no use here.
            with session.post(address, json=body, timeout=_TIMEOUT, allow_redirects=False, stream=True) as reply:
                status = reply.status_code
    except requests.RequestException as error:
        logger.warning("alert_not_sent", incident=_incident(row), error=type(error))
        return False
    if not 200 <= status < 300:
        logger.warning("alert_not_sent", incident=_incident(row), status=status)
        return False
    return True


def _incident(row: Incident | EmergencyOpening) -> UUID | None:
    return row.pk if isinstance(row, Incident) else None


def _is_paused() -> bool:
    return bool(_cached(lambda: cache.get(_PAUSED)))


def _pause() -> None:
    """Wait one minute after the first failure, then twice as long each time."""
    failures = int(_cached(lambda: cache.get(_FAILURES)) or 0) + 1
    pause = min(timedelta(minutes=2 ** min(failures - 1, 10)), LONGEST_PAUSE)
    _cached(lambda: cache.set(_FAILURES, failures, _FORGET_FAILURES.total_seconds()))
    # A little less than the sweep's minutes, so that the sweep at the end of the pause is not too early by a moment.
    _cached(lambda: cache.set(_PAUSED, 1, pause.total_seconds() - 5))


def _unpause() -> None:
    _cached(lambda: cache.delete_many([_FAILURES, _PAUSED]))


def _cached(ask: Callable[[], Any]) -> Any:
    """Ask the cache; while it is away there is no pause, for an alert matters more than a quiet log."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - each cache has exceptions of its own
        logger.warning("alert_pause_unreachable", error=type(error))
        return None
