"""The trail of credentials that reach beyond one office: each use, and each try that was refused, is recorded.

A platform's keys and the console's sessions have a stream of their own; what they change is in the office's as well.
"""

from datetime import datetime

from django.db import transaction
from rest_framework.request import Request

from audit.chain import Fact, record
from billing.api.credentials import Credential


def record_use(request: Request, credential: Credential, *, now: datetime) -> None:
    """Record what was called, in the transaction of the call. Its stream is the last lock it takes."""
    if credential.audited:
        record(_fact("api.used", request, credential), actor=credential.actor, now=now)


def record_refused_use(request: Request, credential: Credential, *, now: datetime) -> None:
    """Record what was tried, in a transaction of its own: that of the call is undone."""
    if credential.audited:
        with transaction.atomic():
            record(_fact("api.refused", request, credential), actor=credential.actor, now=now)


def _fact(action: str, request: Request, credential: Credential) -> Fact:
    """Name the address by its pattern, and the office if the address has one; never what was sent."""
    match = request._request.resolver_match
    route, office = (match.route, match.kwargs.get("office_id")) if match else ("", None)
    payload = {"method": str(request.method), "route": route, "office": str(office) if office else None}
    return Fact(credential.actor, action, payload)
