"""Every kind of mismatch is found and typed as itself, nothing else is; a repair mends what Stripe decided, once."""

import pytest

from billing.models import Discrepancy, DiscrepancyStatus, RepairKind
from tests.billing.reconciliation.plants import PLANTS
from tests.billing.reconciliation.scene import Scene, found

SEEDS = 20


def check(scene: Scene, name: str) -> None:
    """Plant, find exactly that, repair, and see that a second repair finds nothing to do."""
    kind, plant = PLANTS[name]
    subject = plant(scene)
    expected = [(kind, subject)]

    summary = scene.reconcile()

    assert not summary.stopped
    assert found() == expected, name
    proposed = Discrepancy.objects.get(status=DiscrepancyStatus.OPEN).repair
    first = scene.reconcile(repair=True)
    still = [] if proposed == RepairKind.PULL else expected
    assert (found(), first.repaired.ended) == (still, int(proposed == RepairKind.PULL)), (name, first)
    again = scene.reconcile(repair=True)
    assert (found(), again.opened, again.repaired.pulled, again.gone) == (still, 0, 0, 0), (name, again)


@pytest.mark.django_db
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_mismatch_is_found_as_what_it_is_and_repaired_once(stripe, name):
    check(Scene(stripe, seed=len(name)), name)


@pytest.mark.full
@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_mismatch_is_found_with_every_seed(stripe, name, seed):
    check(Scene(stripe, seed=seed), name)


@pytest.mark.django_db
def test_where_nothing_differs_nothing_is_found(scene):
    summary = scene.reconcile(repair=True)
    assert (summary.stopped, found(), summary.opened, summary.repaired.pulled) == ("", [], 0, 0)
