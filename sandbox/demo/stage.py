"""Where the story plays: a simulated clock, a local Stripe, and the real product between them.

Nothing of the product is replaced. Use cases get the simulated time as every caller passes it, requests go over HTTP
through the SDK and the guard, and webhooks come in through the real address, signed with the time of the wall clock.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

from billing import delivery, stripe_events
from billing.billing_run import run_due
from billing.delivery import DeliverySummary
from billing.models import EventStatus, StripeEvent
from billing.office_run import RunSummary
from billing.payment_status import refresh_past_due
from billing.silence import notice_silence
from offices.models import Office, OfficeStripeAccount
from sandbox.demo.people import Person
from sandbox.stripe_standin import StripeStandIn

WEBHOOK_PATH = "/webhooks/stripe/"
RUN_ACTOR = "demo:beat"

Teller = Callable[[datetime, str], None]


class Stage:
    """The simulated present: what time it is, what everybody does at that time, and what was expected of it."""

    def __init__(self, standin: StripeStandIn, now: datetime, tell: Teller) -> None:
        self.standin, self._tell = standin, tell
        self.counts: Counter[str] = Counter()
        self.people: list[Person] = []
        self.expectations: list[tuple[str, bool]] = []
        self.lost_invoices: set[str] = set()
        self._client = Client(raise_request_exception=False)
        standin.set_webhook(self._post, settings.STRIPE_WEBHOOK_SECRETS[0])
        self.go_to(now)

    def clock(self) -> datetime:
        """Return the simulated instant; what delivery and event processing take as their clock."""
        return self.now

    def go_to(self, now: datetime) -> None:
        """Let the product and Stripe stand at this instant."""
        self.now = now
        self.standin.dashboard.set_clock(now)

    def tell(self, text: str) -> None:
        """Tell the reader what happens now."""
        self._tell(self.now, text)

    def expect(self, sentence: str, *, holds: bool) -> None:
        """Note a sentence that must be true for the demo to succeed."""
        self.expectations.append((sentence, holds))

    # What the workers do

    def run(self, reference: str | None = None) -> RunSummary:
        """Close and open what is due."""
        summary = run_due(as_of=self.now, actor=RUN_ACTOR, now=self.now, office_reference=reference)
        self.counts.update(summary.tally.counts)
        return summary

    def deliver(self) -> DeliverySummary:
        """Take what waits to Stripe."""
        summary = delivery.deliver_due(clock=self.clock)
        self.counts.update({f"messages_{name}": count for name, count in summary.counts.items()})
        return summary

    def hear(self) -> None:
        """Receive what Stripe has to tell, and work through it."""
        deliveries = self.standin.deliver_now()
        self.counts["webhooks_delivered"] += len(deliveries)
        self.counts["webhooks_refused"] += sum(sent.status != 200 for sent in deliveries)
        self.process_events()

    def process_events(self) -> None:
        """Work through the inbox in simulated time."""
        # The address stamps events with the wall clock, as it must; the story's own time is another one.
        StripeEvent.objects.filter(status=EventStatus.PENDING, attempts=0).update(
            received_at=self.now, next_attempt_at=self.now
        )
        self.counts.update(
            {f"events_{name}": count for name, count in stripe_events.process_due(clock=self.clock).counts.items()}
        )

    def tick(self) -> None:
        """Let the workers do what they do all day: run, deliver, receive, see who is past due."""
        self.run()
        self.deliver()
        self.hear()
        notice_silence(clock=self.clock)
        refresh_past_due(now=self.now)

    # Who is who

    @staticmethod
    def office(reference: str) -> Office:
        """Return the office as it is now."""
        return Office.objects.get(reference=reference)

    @staticmethod
    def customer_of(reference: str) -> str:
        """Return the office's customer id at Stripe."""
        return str(OfficeStripeAccount.objects.get(office__reference=reference).customer_id)

    def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        response = self._client.post(
            WEBHOOK_PATH,
            data=body,
            content_type="application/json",
            headers={"Stripe-Signature": headers["Stripe-Signature"], "Host": "127.0.0.1"},
            secure=True,  # as behind the TLS proxy
        )
        return response.status_code


def open_standin(state_path: str | None = None) -> StripeStandIn:
    """Return the local Stripe, not yet started, at the address that the settings name."""
    return StripeStandIn(
        api_keys={settings.STRIPE_API_KEY},
        webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0],
        background_delivery=False,
        state_path=state_path,
        port=urlsplit(settings.STRIPE_API_BASE).port or 0,
    )
