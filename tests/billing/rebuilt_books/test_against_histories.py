"""After any random history the log tells what the tables hold, and what they held at every earlier instant."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings

from audit.chain import Fact, record
from audit.seal import instant
from billing.rebuilt_books.check import books_at, check_books
from billing.rebuilt_books.compare import compare
from billing.rebuilt_books.from_tables import stored_books
from offices.models import BEGINNING, Office
from patients.models import ActivityPeriod
from tests.billing.product_driver import ACTOR, ProductDriver
from tests.oracle.acts import Flavour
from tests.oracle.driver import drive
from tests.oracle.histories import histories

# No run ahead of time: an office that is canceled after its future was billed is parked for a person to look at.
EVERYTHING = Flavour(early_zone_change=True, retroactive_prices=True, to_trial=True, backfills=True)
# Each history is rebuilt at every one of its instants, which takes seconds.
EXAMPLES = max(settings.default.max_examples // 3, 1)


class ToldDriver(ProductDriver):
    """The driver writes offices and periods as an import would; here with the entries that an import leaves."""

    def create_office(self, command):
        outcome = super().create_office(command)
        told = {
            "status": command.status,
            "timezone": command.zone,
            "plan": self.plan.code,
            "billing_cycle_anchor_date": command.anchor.isoformat(),
            "since": instant(BEGINNING),
        }
        self.tell("office.imported", told, command)
        return outcome

    def import_periods(self, command):
        before = ActivityPeriod.objects.filter(office=self.office).count()
        outcome = super().import_periods(command)
        after = ActivityPeriod.objects.filter(office=self.office).count()
        self.tell("patients.imported", {"periods_created": after - before}, command)
        return outcome

    def tell(self, action, payload, command):
        record(Fact(f"office:{self.office.reference}", action, payload), actor=ACTOR, now=command.at)


@pytest.mark.django_db
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=histories(EVERYTHING))
def test_rebuilt_books_are_the_tables_after_any_history_and_at_every_earlier_instant(history):
    with transaction.atomic():
        driver, held = ToldDriver(), {}
        for command in history:
            drive(driver, command)
            office = Office.objects.get(pk=driver.office.pk)
            held[command.at] = stored_books([office])[office.pk]
        assert [each.finding for each in check_books(office_reference=office.reference).findings] == []
        for at, then in held.items():
            assert compare(books_at(office_reference=office.reference, at=at), then) == []
        transaction.set_rollback(True)
