"""A small network that is billed, delivered and partly paid: nothing differs, until a test plants something."""

import random
from datetime import timedelta

from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.models import ChargeReason, Discrepancy, DiscrepancyStatus, Invoice, InvoiceStatus
from billing.reconciliation.run import Summary, reconcile
from offices.models import Office
from sandbox.stripe_standin import StripeStandIn
from tests.billing.scenes import CLOSED_AT, OPENED_AT, SharedClock, drain, hear, ring
from tests.builders import ACTOR, make_office, make_patient, utc

OFFICES = 3


class Scene:
    """Offices with one sent and one paid invoice each, and their clock; `rng` chooses which one is meant."""

    def __init__(self, stripe: StripeStandIn, seed: int = 0, offices: int = OFFICES) -> None:
        self.stripe, self.rng = stripe, random.Random(seed)
        self.focus: Office | None = None
        self.clock = SharedClock(OPENED_AT, stripe)
        self.offices = [self._office() for _ in range(offices)]
        run_due(as_of=OPENED_AT, actor=ACTOR, now=OPENED_AT)
        stripe.dashboard.set_clock(CLOSED_AT)
        self.clock.at = CLOSED_AT
        run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
        for office in self.offices:
            charge = Charge(ChargeReason.TRAINING, self.rng.randrange(1_000, 90_000))
            charge_office(office_id=office.pk, charge=charge, actor=ACTOR, now=CLOSED_AT)
        drain(self.clock)
        for invoice in Invoice.objects.filter(invoice_type="one_off"):
            stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
        self._ring_in_order()
        hear(stripe, self.clock)

    def _ring_in_order(self) -> None:
        """Let events arrive as Stripe sends them, so that those of one invoice are worked through together."""
        for number, event in enumerate(self.stripe.objects("event")):
            ring(self.stripe, self.clock.at + timedelta(microseconds=number), events=[event])
        self.clock.forward(seconds=1)

    def _office(self) -> Office:
        office = make_office()
        for _ in range(self.rng.randint(2, 4)):
            make_patient(office, (utc("2026-01-02"), None))
        make_patient(office, (utc("2026-02-20"), None))
        return office

    @property
    def office(self) -> Office:
        """The office that is meant: any one, or the one in focus."""
        return self.focus or self.rng.choice(self.offices[:-1])

    def another_office(self) -> Office:
        """An office of which no other mismatch is planted."""
        return self.offices[-1]

    def sent(self) -> Invoice:
        """A monthly invoice that is sent and not paid."""
        return Invoice.objects.get(status=InvoiceStatus.SENT, office=self.office)

    def paid(self) -> Invoice:
        """An invoice that is paid, here and there."""
        return Invoice.objects.get(status=InvoiceStatus.PAID, office=self.office)

    def reconcile(self, **options: object) -> Summary:
        """Run the whole comparison a minute later."""
        self.clock.forward(minutes=1)
        return reconcile(actor=ACTOR, clock=self.clock, **options)

    def later(self, **by: float) -> None:
        """Let time pass, for us and for Stripe."""
        self.clock.forward(**by)


def found() -> list[tuple[str, str]]:
    """Return what is open, as (kind, subject)."""
    rows = Discrepancy.objects.filter(status=DiscrepancyStatus.OPEN)
    return sorted(rows.values_list("kind", "subject"))
