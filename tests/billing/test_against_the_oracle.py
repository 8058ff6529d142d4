"""The product agrees with an independent reading of the rules on every line and total of random histories."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings

from tests.billing.product_driver import ProductDriver
from tests.oracle.acts import Flavour
from tests.oracle.driver import first_difference
from tests.oracle.histories import histories

EVERYTHING = Flavour(early_zone_change=True, retroactive_prices=True, to_trial=True)
# An office that is canceled before a month that was billed ahead of time is parked: a person decides, no rule does.
AHEAD = Flavour(future_runs=True, cancellations=False, early_zone_change=True, retroactive_prices=True, to_trial=True)


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=histories(EVERYTHING) | histories(AHEAD))
def test_product_and_oracle_keep_the_same_books(history):
    with transaction.atomic():
        difference = first_difference(history, ProductDriver())
        transaction.set_rollback(True)
    assert difference == ""


@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=histories(Flavour(backfills=True, early_zone_change=True, to_trial=True)))
def test_product_and_oracle_agree_on_backfills_between_all_else(history):
    with transaction.atomic():
        difference = first_difference(history, ProductDriver())
        transaction.set_rollback(True)
    assert difference == ""
