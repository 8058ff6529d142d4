"""Try a synthetic leak through the real path to Stripe; the guard must refuse it. Nothing is sent."""

from typing import Any

from django.utils import timezone

from billing import alerts, canary
from billing.canary import CanaryOutcome
from billing.management.reporting import Problem, Report, ReportingCommand

HEADLINES = {
    CanaryOutcome.BLOCKED: "Blocked, as it must be.",
    CanaryOutcome.NOT_BLOCKED: "NOT BLOCKED: stop delivery, this is a security incident.",
    CanaryOutcome.NOT_TRIED: "Not tried: the rate limit had no turn.",
}


class Command(ReportingCommand):
    """`run_canary [--json]`."""

    help = __doc__
    writes = False  # what it writes is that it ran; there is no other way to know

    def report(self, **_options: Any) -> Report:
        """Run the canary, then send what alerts wait: without workers this command is their sweep."""
        now = timezone.now()
        outcome = canary.run_canary(actor="command:run_canary", now=now)
        failed = outcome is CanaryOutcome.NOT_BLOCKED
        alerts.send_alerts(now=now)
        problems = [] if outcome is CanaryOutcome.BLOCKED else [Problem(f"canary_{outcome}", HEADLINES[outcome])]
        return Report(
            counts={each.value: int(outcome is each) for each in CanaryOutcome},
            problems=problems,
            needs_attention=failed,
            headline=HEADLINES[outcome],
        )
