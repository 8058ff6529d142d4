"""A local Stripe: a stateful HTTP server that checks, stores, replays, signs and fails as Stripe does.

with StripeStandIn(api_keys={"sk_test_x"}) as standin:
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": standin.base_url})
"""

from sandbox.stripe_standin.faults import Fault, Faults, WebhookFault
from sandbox.stripe_standin.recorder import RawRequest
from sandbox.stripe_standin.standin import DEFAULT_API_KEY, DEFAULT_WEBHOOK_SECRET, StripeStandIn
from sandbox.stripe_standin.webhooks import Delivery, sign

__all__ = [
    "DEFAULT_API_KEY",
    "DEFAULT_WEBHOOK_SECRET",
    "Delivery",
    "Fault",
    "Faults",
    "RawRequest",
    "StripeStandIn",
    "WebhookFault",
    "sign",
]
