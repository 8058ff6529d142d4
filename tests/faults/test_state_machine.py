"""A life drawn by Hypothesis, step by step: activity, months, charges, deliveries that crash, payments, lost news.

The model knows only when each patient account was active. Who must be charged for which cycle follows from that alone.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from billing import fail_points
from billing.activation import PeriodEmpty, activate_patient, deactivate_patient
from billing.billing_run import run_due
from billing.charges import Charge, charge_office
from billing.delivery import deliver_due
from billing.event_replay import replay_events
from billing.fail_points import FailPoint
from billing.models import BillingCycle, ChargeReason, LineItem, OutboxMessage
from billing.stripe_events import process_due
from sandbox.stripe_standin import Fault, StripeStandIn
from sandbox.stripe_standin.errors import StripeFailure
from tests.billing.scenes import SharedClock, drain, ring
from tests.builders import ACTOR, make_office, make_patient, utc
from tests.invariants import assert_invariants, violations

pytestmark = pytest.mark.django_db

OFFICES, PATIENTS = 2, 4
WHO = st.integers(0, OFFICES * PATIENTS - 1)
PASSING_FAULTS = [
    Fault.RATE_LIMITED, Fault.CONFLICT, Fault.UNAVAILABLE, Fault.HANG_BEFORE_COMMIT, Fault.ERROR_BEFORE_COMMIT,
    Fault.ERROR_AFTER_COMMIT, Fault.HANG_AFTER_COMMIT, Fault.MALFORMED_BODY,
]  # fmt: skip
EXAMPLES = {"ci": 4, "full": 300}


class Killed(BaseException):
    """The process is gone: nothing catches it, what was not committed is lost."""


class Life(RuleBasedStateMachine):
    """The product with a Stripe of its own, in a transaction that is rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.stripe = StripeStandIn(
            api_keys={settings.STRIPE_API_KEY}, webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0]
        )
        settings.STRIPE_API_BASE = self.stripe.start()
        cache.clear()
        self.clock = SharedClock(utc("2026-03-01"), self.stripe)
        self.offices = [make_office() for _ in range(OFFICES)]
        self.patients = [make_patient(office) for office in self.offices for _ in range(PATIENTS)]
        self.active: dict[int, list[list[datetime | None]]] = {number: [] for number in range(len(self.patients))}
        self.heard = 0
        run_due(as_of=self.clock.at, actor=ACTOR, now=self.clock.at)

    # --- What clinics do ---
    @rule(who=WHO)
    def activate(self, who: int) -> None:
        periods = self.active[who]
        result = activate_patient(**self._patient(who))
        assert result.changed == (not periods or periods[-1][1] is not None)
        if result.changed:
            periods.append([self.clock.at, None])

    @rule(who=WHO)
    def deactivate(self, who: int) -> None:
        periods = self.active[who]
        try:
            changed = deactivate_patient(**self._patient(who))
        except PeriodEmpty:
            return  # in the very instant of its beginning
        assert changed == bool(periods and periods[-1][1] is None)
        if changed:
            periods[-1][1] = self.clock.at

    def _patient(self, who: int) -> dict[str, object]:
        patient = self.patients[who]
        return {"office_id": patient.office_id, "patient_id": patient.pk, "actor": ACTOR, "now": self.clock.at}

    @rule(which=st.integers(0, OFFICES - 1), cents=st.integers(100, 90_000))
    def charge(self, which: int, cents: int) -> None:
        charge = Charge(ChargeReason.TRAINING, amount_cents=cents)
        charge_office(office_id=self.offices[which].pk, charge=charge, actor=ACTOR, now=self.clock.at)

    # --- What goes by itself ---
    @rule(by=st.sampled_from([timedelta(seconds=1), timedelta(minutes=2), timedelta(hours=25), timedelta(days=16)]))
    def time_passes(self, by: timedelta) -> None:
        self.clock.forward(seconds=by.total_seconds())

    @rule(crash=st.none() | st.sampled_from([point for point in FailPoint if point.startswith("run.")]))
    def run(self, crash: FailPoint | None) -> None:
        self._until(crash, 1, lambda: run_due(as_of=self.clock.at, actor=ACTOR, now=self.clock.at))

    @rule(
        crash=st.none() | st.sampled_from([point for point in FailPoint if point.startswith("delivery.")]),
        hit=st.integers(1, 4),
        faults=st.lists(st.none() | st.sampled_from(PASSING_FAULTS), max_size=4),
    )
    def deliver(self, crash: FailPoint | None, hit: int, faults: list[Fault | None]) -> None:
        self.stripe.script("*", faults)
        self._until(crash, hit, lambda: deliver_due(clock=self.clock))

    @rule(crash=st.none() | st.sampled_from([point for point in FailPoint if point.startswith("events.")]))
    def work_on_events(self, crash: FailPoint | None) -> None:
        self._until(crash, 1, lambda: process_due(clock=self.clock))

    def _until(self, crash: FailPoint | None, hit: int, act: Callable[[], object]) -> None:
        """Do it until the n-th hit of the fail point, where the process ends."""
        hits = 0

        def hook(point: FailPoint) -> None:
            nonlocal hits
            hits += point == crash
            if point == crash and hits == hit:
                raise Killed

        fail_points.install(hook)
        try:
            act()
        except Killed:
            pass
        finally:
            fail_points.install(None)

    # --- What happens at Stripe ---
    @precondition(lambda self: self.stripe.objects("invoice"))
    @rule(which=st.integers(0, 30), act=st.sampled_from(["pay_invoice", "decline", "start_processing"]))
    def somebody_pays(self, which: int, act: str) -> None:
        invoices = self.stripe.objects("invoice")
        try:
            getattr(self.stripe.dashboard, act)(invoices[which % len(invoices)]["id"])
        except StripeFailure:
            return  # a draft, or paid already

    @rule(copies=st.lists(st.integers(0, 3), max_size=12), backwards=st.booleans())
    def news_arrives(self, copies: list[int], backwards: bool) -> None:
        new = self.stripe.objects("event")[self.heard :][: len(copies)]
        self.heard += len(new)
        arriving = [event for event, number in zip(new, copies, strict=False) for _ in range(number)]
        ring(self.stripe, self.clock.at, events=arriving[::-1] if backwards else arriving)

    # --- What must be true ---
    @invariant()
    def nothing_is_broken(self) -> None:
        assert [each for each in violations(self.stripe) if each.invariant != "I9"] == []

    def teardown(self) -> None:
        try:
            if not transaction.get_connection().needs_rollback:
                self.come_to_rest()
        finally:
            self.stripe.close()
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    def come_to_rest(self) -> None:
        """Let what is left be done; then each closed cycle charges whom the model says, and everything was sent."""
        self.stripe.script("*", [None] * 1_000)
        self.clock.forward(hours=2)
        run_due(as_of=self.clock.at, actor=ACTOR, now=self.clock.at)
        drain(self.clock)
        replay_events(since=utc("2026-02-20"), actor=ACTOR, clock=self.clock)
        for _ in range(3):
            process_due(clock=self.clock)
            self.clock.forward(hours=7)
        assert not OutboxMessage.objects.exclude(status="done").exists()
        assert_invariants(self.stripe)
        lines = LineItem.objects.filter(live=True, patient_reference__isnull=False)
        closed = list(BillingCycle.objects.filter(closed_at__isnull=False))
        keys = {(cycle.office_id, cycle.key) for cycle in closed}
        charged = lines.values_list("patient_reference", "cycle_key", "invoice__office")
        assert sorted((str(p), key) for p, key, office in charged if (office, key) in keys) == sorted(
            (str(patient.pk), cycle.key)
            for number, patient in enumerate(self.patients)
            for cycle in closed
            if cycle.office_id == patient.office_id and self._was_active(number, cycle)
        )

    def _was_active(self, number: int, cycle: BillingCycle) -> bool:
        return any(start < cycle.end_at and (end is None or end > cycle.start_at) for start, end in self.active[number])


def test_a_life_of_random_steps_keeps_every_promise(settings):
    profile = "full" if hypothesis.settings.get_current_profile_name() == "full" else "ci"
    run_state_machine_as_test(
        Life, settings=hypothesis.settings(max_examples=EXAMPLES[profile], stateful_step_count=25, deadline=None)
    )
