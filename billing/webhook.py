"""The address Stripe posts events to: size, signature and time, one insert, 200 (performance.md, "Webhooks")."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import stripe_events
from billing.stripe_gateway.client import verify_webhook
from billing.stripe_gateway.webhook import EventEnvelope, WebhookRefused

LARGEST_BODY = 262_144  # bytes; Stripe's events are a few kilobytes


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Accept a genuine event with 200; 400 for a signature or shape, 405, 413, 503 when the database is down."""
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        return HttpResponse(status=400)
    # The size is judged before anything is read or hashed.
    if length > LARGEST_BODY:
        return HttpResponse(status=413)
    body = request.read(LARGEST_BODY + 1)
    if len(body) > LARGEST_BODY:
        return HttpResponse(status=413)
    now = timezone.now()
    try:
        envelope = verify_webhook(
            body, request.headers.get("Stripe-Signature", ""), settings.STRIPE_WEBHOOK_SECRETS, int(now.timestamp())
        )
    except WebhookRefused:
        return HttpResponse(status=400)
    try:
        _keep(envelope, now)
    except DatabaseError:
        return HttpResponse(status=503)  # Stripe tries again for three days
    return HttpResponse(status=200)


def _keep(envelope: EventEnvelope, now: datetime) -> None:
    """Insert at once, without asking first whether the kept connection still lives: half of what a webhook costs.

    Where it does not, a new one gets one try; the insert may be repeated. Raises DatabaseError.
    """
    kept: Any = connection
    kept.health_check_done = True
    try:
        stripe_events.receive(envelope, now=now)
    except DatabaseError:
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        stripe_events.receive(envelope, now=now)
