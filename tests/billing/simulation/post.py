"""The way from Stripe to us, at its worst: events are lost, repeated, shuffled, days late, and signed anew."""

import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from billing.stripe_events import receive
from billing.stripe_gateway.client import verify_webhook
from billing.stripe_gateway.webhook import WebhookReason, WebhookRefused
from sandbox.stripe_standin import StripeStandIn, sign

LOST, REPEATED, LATE = 0.30, 0.20, 0.35
COPIES = 5
LATEST = timedelta(days=4)
AGAIN = timedelta(hours=1)  # after an answer that was no 200


@dataclass
class Post:
    """Holds what is under way; `secrets` is our setting, the first one ours alone, `secret` what Stripe signs with."""

    stripe: StripeStandIn
    source: random.Random
    secrets: list[str]
    secret: str
    under_way: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    collected: int = 0
    lost: int = 0
    refused: int = 0

    def collect(self, now: datetime) -> None:
        """Take what happened at Stripe since the last time, and decide the fate of each event."""
        events = self.stripe.objects("event")
        for event in events[self.collected :]:
            if self.source.random() < LOST:
                self.lost += 1
                continue
            for _ in range(COPIES if self.source.random() < REPEATED else 1):
                late = self.source.random() < LATE
                delay = LATEST * self.source.random() if late else timedelta(0)
                self.under_way.append((now + delay, event))
        self.collected = len(events)

    def deliver(self, now: datetime) -> None:
        """Let arrive what is due, in any order."""
        due = [event for at, event in self.under_way if at <= now]
        self.under_way = [(at, event) for at, event in self.under_way if at > now]
        self.source.shuffle(due)
        for event in due:
            if not self._arrives(event, now):
                self.refused += 1
                self.under_way.append((now + AGAIN, event))

    def _arrives(self, event: dict[str, Any], now: datetime) -> bool:
        body, at = json.dumps(event).encode(), int(now.timestamp())
        try:
            envelope = verify_webhook(body, sign(body, self.secret, at), self.secrets, at)
        except WebhookRefused as refused:
            if refused.reason is not WebhookReason.SIGNATURE:
                raise
            return False
        receive(envelope, now=now)
        return True
