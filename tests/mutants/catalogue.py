"""Which mutants there are: by rule, and those that somebody would write who wanted something to leave."""

from collections.abc import Iterator

from tests.mutants.operators import Mutant, mutants_of
from tests.mutants.patches import patches
from tests.mutants.policy_mutants import policy_mutants

# The gateway, where everything is changed; module, and the beginning of the qualified names of its functions.
_GATEWAY = (
    ("billing.stripe_gateway.outbound", ""),
    ("billing.stripe_gateway.outbound_corrections", ""),
    ("billing.stripe_gateway.outbound_values", ""),
    ("billing.stripe_gateway.evidence", ""),
    ("billing.stripe_gateway.guard", "Guard."),
    ("billing.stripe_gateway.wire", ""),
    ("billing.stripe_gateway.client", "GuardedClient.request"),
    ("billing.stripe_gateway.client", "StripeGateway._"),
    ("billing.stripe_gateway.client", "install"),
    ("billing.stripe_gateway.transport", "candidate"),
    ("billing.stripe_gateway.transport", "GuardedAdapter.send"),
    ("billing.stripe_gateway.transport", "_differs"),
    ("billing.expectations", "ledger_items"),
    ("billing.expectations", "create_customer"),
    ("billing.expectations", "update_customer"),
    ("billing.expectations", "retrieve_customer"),
    ("billing.expectations", "list_"),
    ("billing.expectations", "create_invoice"),
    ("billing.expectations", "on_invoice"),
    ("billing.expectations", "_"),
    ("billing.stripe_connection", ""),
)
# The call sites, where what they hand on is changed.
_CALL_SITES = (
    ("billing.customers", "_document"),
    ("billing.customer_delivery", "deliver"),
    ("billing.customer_delivery", "_look"),
    ("billing.customer_delivery", "_has_profile"),
    ("billing.invoice_delivery", "_Delivery"),
    ("billing.invoice_delivery", "_prepare"),
    ("billing.delivery_steps", "_send"),
    ("billing.delivery_steps", "_step"),
    ("billing.stripe_events", "_fetch"),
)


def catalogue() -> list[Mutant]:
    """Return all mutants, in a fixed order, each once."""
    found: dict[str, Mutant] = {}
    for mutant in _all():
        name, number = mutant.name, 1
        while name in found:
            number += 1
            name = f"{mutant.name} ({number})"
        found[name] = Mutant(name, mutant.sources)
    return list(found.values())


def _all() -> Iterator[Mutant]:
    yield from patches()
    yield from policy_mutants()
    for module, functions in _GATEWAY:
        yield from mutants_of(module, functions)
    for module, functions in _CALL_SITES:
        yield from mutants_of(module, functions, values_only=True)
