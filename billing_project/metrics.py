"""`/metrics` for Prometheus: the operating figures as text, for whoever brings the token.

Every figure is read from the tables at each scrape, so that it says the same whichever process answers, and a process
that restarts forgets nothing.
"""

import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from billing.operating_figures import OperatingFigures, operating_figures

_log = structlog.get_logger(__name__)

_GAUGES = {
    "billing_outbox_oldest_seconds": ("oldest_message", "Age of the oldest message that waits for Stripe"),
    "billing_inbox_oldest_seconds": ("oldest_event", "Age of the oldest event that waits to be worked through"),
    "billing_inbox_silence_seconds": ("newest_event", "Time since the last event arrived"),
    "billing_sent_without_news": ("sent_without_news", "Invoices at Stripe for a day of which no event told"),
    "billing_cycles_overdue": ("cycles_overdue", "Cycles that have ended and are not closed, parked offices aside"),
    "billing_incidents_open": ("incidents_open", "Blocked attempts that nobody has looked into"),
    "billing_alerts_waiting": ("alerts_waiting", "Incidents of which nobody was told"),
    "billing_canary_age_seconds": ("canary_age", "Time since the synthetic leak was last tried"),
    "billing_canary_blocked": ("canary_blocked", "1 when the last synthetic leak was blocked, 0 when it was not"),
    "billing_run_age_seconds": ("run_age", "Time since the last billing run ended"),
    "billing_run_duration_seconds": ("run_duration", "How long that run took"),
    "billing_run_unfinished_seconds": ("run_unfinished", "How long a run is under way that has not ended"),
}
_COUNTS = {
    "billing_outbox_messages": ("messages", "status", "Messages to Stripe that wait or stand still"),
    "billing_inbox_events": ("events", "status", "Events that wait or were given up"),
    "billing_invoices": ("invoices", "status", "Invoices that Stripe is to collect"),
    "billing_offices_parked": ("offices_parked", "code", "Offices that are stopped until a person looks"),
    "billing_discrepancies_open": ("discrepancies_open", "kind", "Differences from Stripe or from the log, open"),
}


class _Figures(Collector):
    """Hands the figures over in the library's terms."""

    def __init__(self, figures: OperatingFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        """Yield each metric; one that has nothing to measure has no sample."""
        for name, (attribute, words) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, words)
            value = getattr(self._figures, attribute)
            if value is not None:
                gauge.add_metric([], float(value))
            yield gauge
        for name, (attribute, label, words) in _COUNTS.items():
            counts: Mapping[str, int] = getattr(self._figures, attribute)
            gauge = GaugeMetricFamily(name, words, labels=[label])
            for key, number in counts.items():
                gauge.add_metric([key], number)
            yield gauge
        words = "Requests to Stripe that the guard stopped, the synthetic ones aside"
        yield CounterMetricFamily("billing_requests_blocked", words, value=self._figures.requests_blocked)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer 200 to the right token, 401 to any other, 404 when none is set, 503 while the database is away."""
    if not settings.METRICS_TOKEN:
        return HttpResponse(status=404)
    given = request.headers.get("Authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        figures = operating_figures(now=timezone.now())
    except DatabaseError as error:
        _log.warning("database_does_not_answer", error=type(error))
        return HttpResponse(status=503)
    registry = CollectorRegistry()
    registry.register(_Figures(figures))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
